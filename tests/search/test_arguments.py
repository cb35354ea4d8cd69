"""Arguments that do not fit are refused with the name, what came and what was expected."""

import jax
import jax.numpy as jnp
import pytest

from jzero import search

GOOD = {"prior_logits": jnp.zeros((3, 4)), "value": jnp.zeros(3), "embedding": jnp.zeros((3, 2))}


def step(params, key, action, embedding):
    del params, key
    zero = jnp.zeros(action.shape)
    logits = jnp.zeros((*action.shape, 4))
    return search.RecurrentFnOutput(
        reward=zero, discount=zero - 1, prior_logits=logits, value=zero
    ), embedding


def run(policy, num_simulations=2, invalid_actions=None, **changes):
    root = search.RootFnOutput(**(GOOD | changes))
    return policy((), jax.random.key(0), root, step, num_simulations, invalid_actions=invalid_actions)


@pytest.mark.parametrize("policy", [search.muzero_policy, search.gumbel_muzero_policy])
def test_bad_arguments_are_named(policy):
    assert run(policy).action.shape == (3,)
    bad = [
        ({"prior_logits": jnp.zeros(4)}, r"root.prior_logits has shape \(4,\).*\[B, A\]"),
        ({"value": jnp.zeros((3, 1))}, r"root.value has shape \(3, 1\); it must be \(3,\)"),
        ({"value": jnp.zeros(2)}, r"root.value has shape \(2,\)"),
        ({"embedding": jnp.zeros((4, 2))}, r"root.embedding has a leaf of shape \(4, 2\).*the batch, 3"),
        ({"invalid_actions": jnp.zeros((3, 5))}, r"invalid_actions has shape \(3, 5\).*\(3, 4\)"),
        ({"num_simulations": 0}, "num_simulations is 0; it must be at least 1"),
    ]
    for change, message in bad:
        with pytest.raises(ValueError, match=message):
            run(policy, **change)
