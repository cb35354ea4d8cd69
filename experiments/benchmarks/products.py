"""CPU time of Connect Four's network in float32, in bfloat16, and with only its products in bfloat16.

    python experiments/benchmarks/products.py --out products.json

Times, on one core, the evaluation of a batch with weights prepared as for a search, and the gradient of a loss. The
three take turns; the least time of each is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jzero.devices import has_matrix_units, set_up

set_up(cpu_devices=1)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import tyro  # noqa: E402
from hardware import provenance, tell  # noqa: E402

import jzero  # noqa: E402
from jzero.networks.make import NetworkSettings, policy_value_network  # noqa: E402

KINDS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"bf16": True},
    "products in bfloat16": {"bf16_products": True},
}


@dataclass(frozen=True)
class Config:
    """What to measure."""

    sizes: tuple[tuple[int, int], ...] = ((384, 3), (768, 3))
    """Widths and blocks of MLPs."""
    rows: int = 1024
    """Positions per batch."""
    rounds: int = 20
    """Timed rounds."""
    out: Path | None = None
    """Where to write the result as JSON."""


def programs(settings: NetworkSettings, rows: int) -> dict[str, Callable[[], Any]]:
    """An evaluation and a gradient."""
    env = jzero.make("connect_four")
    network = policy_value_network(jzero.describe(env), settings)
    seen = jax.random.bernoulli(jax.random.key(0), 0.3, (rows, 6, 7, 2)).astype(jnp.float32)
    params = network.init(jax.random.key(1), seen)

    def loss(params: Any) -> jax.Array:
        logits, value = network.apply(params, seen)
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1)) + jnp.mean((value - 1) ** 2)

    assert network.prepare is not None
    ready = jax.jit(network.prepare)(params, seen)
    return {
        "evaluation": partial(jax.jit(network.apply), ready, seen),
        "gradient": partial(jax.jit(jax.grad(loss)), params),
    }


def main(config: Config) -> None:
    """Measures and prints JSON."""
    rows = []
    for width, blocks in config.sizes:
        plain = NetworkSettings(width=width, blocks=blocks)
        kinds = {kind: programs(replace(plain, **more), config.rows) for kind, more in KINDS.items()}
        taken: dict[tuple[str, str], list[float]] = {}
        for _ in range(config.rounds + 1):  # the first one compiles
            for kind, parts in kinds.items():
                for part, run in parts.items():
                    begun = time.process_time()
                    jax.block_until_ready(run())
                    taken.setdefault((kind, part), []).append(time.process_time() - begun)
        for (kind, part), seconds in taken.items():
            rows.append(
                {
                    "width": width,
                    "blocks": blocks,
                    "computes": kind,
                    "what": part,
                    "cpu_ms": round(1000 * min(seconds[1:]), 2),
                }
            )
    date = datetime.now(UTC).date().isoformat()
    found = {"rows": config.rows, "matrix_units": has_matrix_units(), "date": date, "times": rows}
    tell(found | provenance(), config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
