"""The games of this repository promote neither ranks nor dtypes, so that they run in projects that forbid both."""

from importlib import metadata

import jax
import jax.numpy as jnp
import pytest

from jzero.env import init_batch, step_batch
from jzero.registry import ENTRY_POINTS, make
from tests.helpers.strict import no_promotion

VARIANTS = {
    "2048": ["2048", "2048?size=3"],
    "blob": ["blob", "blob?players=3&cards=2", "blob?rounds=(3,1,2)"],
    "go": ["go", "go?size=5", "go?rules=pgx", "go?size=5&rules=pgx"],
    "gomoku": ["gomoku", "gomoku?size=6"],
    "hex": ["hex", "hex?size=5&swap=True", "hex?size=19"],
    "quoridor": ["quoridor", "quoridor?size=5&openspiel_limit=True", "quoridor?size=3&distances=False"],
}
NATIVE = [
    point.name
    for point in metadata.entry_points(group=ENTRY_POINTS)
    if point.value.startswith("jzero_envs.") and not point.value.startswith("jzero_envs.adapters.")
]
"""The registered games that are not of other packages."""
NAMES = sorted({variant for name in NATIVE for variant in VARIANTS.get(name, [name])})
PER_STATE = ["observe", "fingerprint", "reveal", "way_lengths"]
PER_KEY_OR_PLAYER = ["resample", "outcome_features"]


def members(env, key):
    """Traces all functions of `env` on two games, and returns its observation."""
    states = init_batch(env, key, 2)
    players = jnp.zeros(2, jnp.int32)
    states = step_batch(env, states, players, key)
    for name in PER_STATE:
        if hasattr(env, name):
            jax.vmap(getattr(env, name))(states)
    if hasattr(env, "resample"):
        jax.vmap(env.resample)(states, jax.random.split(key, 2))
    if hasattr(env, "outcome_features"):
        jax.vmap(env.outcome_features)(states, players)
    if hasattr(env, "decide"):
        afterstates = jax.vmap(env.decide)(states, players)
        jax.vmap(env.chance_logits)(afterstates)
        jax.vmap(env.resolve)(afterstates, players)
    observations = jax.vmap(env.observe)(states)
    for symmetry in getattr(env, "symmetries", ()):
        jax.vmap(symmetry.observation)(observations)
    return states


def test_the_native_games_are_found():
    assert {"connect_four", "go", "backgammon"} <= set(NATIVE)


@pytest.mark.parametrize("name", NAMES)
def test_a_game_promotes_nothing(name):
    env = make(name)
    with no_promotion():
        assert jax.eval_shape(lambda key: members(env, key), jax.random.key(0)).rewards.dtype == jnp.float32
