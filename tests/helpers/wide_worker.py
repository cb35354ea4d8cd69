"""Searches, trains and acts in 64-bit mode, and prints the dtypes of what it gets as JSON."""

import json
from typing import Any

import jax
import jax.numpy as jnp

import jzero
from jzero.program import make_mesh
from jzero.run.build import build_agent, build_program
from tests.helpers import search_options as options
from tests.helpers.tiny import tiny


def dtypes(tree: Any) -> list[str]:
    """Those of all numbers of a pytree, each once."""
    return sorted(
        {str(x.dtype) for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)}
    )


def main() -> None:
    report: dict[str, Any] = {"mode": str(jnp.zeros(()).dtype)}
    keys = jax.random.split(jax.random.key(3), options.B)
    for name in ("muzero", "gumbel", "stochastic"):
        report[name] = dtypes(options.SEARCHES[name](jax.random.key(0), options.root(keys)))
    for algorithm in ("alphazero", "muzero"):
        config = tiny(algorithm=algorithm, games=4, batch_size=8, updates=1)
        env = jzero.make(config.env)
        program = build_program(env, config, make_mesh(jax.devices()[:1]))
        state = program.init()
        for _ in range(2):
            state = program.learn(program.play(state)[0])[0]
        agent = build_agent(env, config, state.averaged)
        states = jzero.init_batch(env, jax.random.key(0), 2)
        action = agent.act(states, jax.random.key(1), num_simulations=4)
        report[f"train {algorithm}"] = dtypes((state, action))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
