"""Our games run on a GPU without the host: no loop of unknown length, no branch.

On a GPU the host runs such a loop's condition, or a branch's index, and waits for it at every turn. What a program
does there can be seen without one: in its jaxpr, with the branches that `platform_dependent` would choose.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jzero_envs.backgammon import Backgammon
from jzero_envs.blob import Blob
from jzero_envs.connect_four import ConnectFour
from jzero_envs.game_2048 import Game2048
from jzero_envs.go import Go
from jzero_envs.gomoku import Gomoku
from jzero_envs.hex import Hex
from jzero_envs.quoridor import Quoridor
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.env import init_batch, observe_batch, step_batch

GAMES = {
    "backgammon": Backgammon(),
    "blob": Blob(players=3, rounds=(2, 1)),
    "connect_four": ConnectFour(),
    "2048": Game2048(),
    "go": Go(),
    "go_by_pgxs_rules": Go(size=5, rules="pgx"),
    "gomoku": Gomoku(),
    "hex": Hex(),
    "hex_with_swap": Hex(size=5, swap=True),
    "quoridor": Quoridor(),
    "quoridor_5x5": Quoridor(size=5, walls=3),
    "tic_tac_toe": TicTacToe(),
}
B = 8


def host_driven(jaxpr: Any, platform: str = "cuda") -> Iterator[str]:
    """Names of the loops and branches that the host drives where the jaxpr runs on `platform`."""
    for equation in jaxpr.eqns:
        inner = [
            x for value in equation.params.values() for x in jax.tree.leaves(value) if hasattr(x, "eqns")
        ]
        platforms = equation.params.get("branches_platforms")
        if platforms is not None:
            inner = [inner[chosen(platforms, platform)]]
        elif equation.primitive.name in ("while", "cond"):
            yield equation.primitive.name
        for part in inner:
            yield from host_driven(part, platform)


def chosen(platforms: tuple[tuple[str, ...] | None, ...], platform: str) -> int:
    """Which branch of a `platform_dependent` is for `platform`; the default has no names."""
    return next(i for i, names in enumerate(platforms) if names is None or platform in names)


def functions(env: Any) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """The functions of B games that `env` has, with their arguments (shapes)."""
    key, actions = jax.random.key(0), jnp.zeros(B, jnp.int32)
    states = jax.eval_shape(lambda: init_batch(env, key, B))
    found = {
        "init": (lambda key: init_batch(env, key, B), (key,)),
        "step": (lambda states, actions, key: step_batch(env, states, actions, key), (states, actions, key)),
        "observe": (lambda states: observe_batch(env, states), (states,)),
    }
    for name, arguments in (
        ("decide", (states, actions)),
        ("chance_logits", (states,)),
        ("resolve", (states, actions)),
        ("resample", (states, jax.eval_shape(lambda: jax.random.split(key, B)))),
        ("reveal", (states,)),
        ("record", (states,)),
        ("fingerprint", (states,)),
        ("way_lengths", (states,)),
        ("outcome_features", (states, actions)),
    ):
        if hasattr(env, name):
            found[name] = (jax.vmap(getattr(env, name)), arguments)
    return found


@pytest.mark.parametrize("name", GAMES)
def test_no_function_of_a_game_is_driven_by_the_host(name):
    for function, arguments in functions(GAMES[name]).values():
        assert list(host_driven(jax.make_jaxpr(function)(*arguments).jaxpr)) == []


def test_loops_and_branches_that_the_host_drives_are_found():
    def search(x):
        return jax.lax.while_loop(lambda x: (x > 1).any(), lambda x: x // 2, x)

    def branch(x):
        return jax.lax.cond(x.sum() > 0, lambda x: x + 1, search, x)

    def counted(x):
        return jax.lax.fori_loop(0, 3, lambda _, x: search(x), x)

    def by_platform(x):
        return jax.lax.platform_dependent(x, cuda=lambda x: x + 1, default=search)

    def found(function, platform="cuda"):
        return list(host_driven(jax.make_jaxpr(function)(jnp.arange(3)).jaxpr, platform))

    assert found(jax.jit(search)) == ["while"]
    assert found(branch) == ["cond", "while"]
    assert found(counted) == ["while"]
    assert found(by_platform) == []
    assert found(by_platform, "cpu") == ["while"]
    assert found(lambda x: jax.lax.fori_loop(0, 3, lambda _, x: x + 1, x)) == []
