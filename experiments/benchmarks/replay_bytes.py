"""Bytes per position in AlphaZero's replay, policy included, and of the whole state and policy. Needs pgx.

    python experiments/benchmarks/replay_bytes.py
    python experiments/benchmarks/replay_bytes.py --envs pgx:hex blob

Reads shapes only: nothing is compiled or played.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from jzero.algorithms.alphazero import position_of
from jzero.env import init_batch
from jzero.env_spec import describe
from jzero.record import make_recorder, pack_policy
from jzero.registry import make


@dataclass(frozen=True)
class Config:
    """What to measure."""

    envs: tuple[str, ...] = (
        *("pgx:chess", "pgx:go_19x19", "pgx:shogi", "pgx:go_9x9", "pgx:othello"),
        *("quoridor", "connect_four"),
    )
    """Environments, by their names for `jzero.make`."""


def _bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def sizes(name: str) -> tuple[int, int]:
    """(bytes of a whole state and its policy, bytes in the replay)."""
    env = make(name)
    spec = describe(env, name)
    state = jax.eval_shape(partial(init_batch, env, batch_size=1), jax.random.key(0))
    policy = jax.ShapeDtypeStruct((1, spec.num_actions), jnp.float32)
    recorder = make_recorder(env, partial(position_of, spec))
    kept = jax.eval_shape(recorder.pack, state), jax.eval_shape(pack_policy, policy)
    return _bytes((state, policy)), _bytes(kept)


def main(config: Config) -> None:
    """Prints the table, as docs/choosing.md has it."""
    print("| game | whole state and policy | in the replay |\n|---|---|---|")
    for name in config.envs:
        whole, kept = sizes(name)
        print(f"| `{name}` | {whole:,} | {kept:,} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
