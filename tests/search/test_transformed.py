"""Searches under JAX's transformations that mctx's own survive: inside a loss, and while leaks are looked for."""

import gc

import jax
import jax.export
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search

GAMES, SIMULATIONS = 3, 12
KEY = jax.random.key(0)
OPTIONS = {"muzero_policy": {"dirichlet_fraction": 0.0}, "gumbel_muzero_policy": {}}


def searched(library, policy, num_actions, weight, key=KEY):
    """(prior logits [B, A], the policy's output) of a model whose every output depends on `weight`."""
    actions = jnp.arange(num_actions, dtype=jnp.float32)

    def model(weight, key, action, state):
        output = mctx.RecurrentFnOutput(
            reward=0.1 * weight * action,
            discount=jnp.full(action.shape, 0.9),
            prior_logits=weight * jnp.cos(actions + state[:, None]),
            value=jnp.sin(weight * state),
        )
        return output, state + action

    states = jnp.arange(GAMES, dtype=jnp.float32)
    logits = weight * jnp.cos(actions + states[:, None])
    root = mctx.RootFnOutput(prior_logits=logits, value=jnp.sin(weight * states), embedding=states)
    function = getattr(library, policy)
    return logits, function(weight, key, root, model, SIMULATIONS, **OPTIONS[policy])


@pytest.mark.parametrize("num_actions", [5, 40])  # slots share reductions, and do not
@pytest.mark.parametrize("policy", OPTIONS)
def test_the_targets_of_a_loss_may_be_searched_inside_of_it(policy, num_actions):
    def gradient(library, stop=jax.lax.stop_gradient):
        def loss(weight):
            logits, output = searched(library, policy, num_actions, weight)
            return -jnp.sum(stop(output.action_weights) * jax.nn.log_softmax(logits))

        return jax.jit(jax.grad(loss))(1.0)

    np.testing.assert_allclose(gradient(search), gradient(mctx), rtol=1e-4)
    if policy == "gumbel_muzero_policy":  # visits have no gradient; improved policies depend on values
        for library in (mctx, search):
            with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
                gradient(library, stop=lambda x: x)


@pytest.fixture
def only_new_objects():
    """What exists already is not searched for leaks: most of the test's time, among the objects of other tests."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("only_new_objects")
@pytest.mark.parametrize("policy", OPTIONS)
def test_a_search_leaks_no_traced_value(policy):
    with jax.checking_leaks():
        jax.jit(lambda key: searched(search, policy, 5, 1.0, key)[1].action).lower(KEY)


@pytest.mark.parametrize("policy", OPTIONS)
def test_a_search_is_exported_for_a_batch_of_any_size(policy):
    def act(states):
        actions = jnp.arange(5, dtype=jnp.float32)

        def model(params, key, action, state):
            output = mctx.RecurrentFnOutput(
                reward=0.1 * state,
                discount=jnp.full_like(state, 0.9),
                prior_logits=jnp.cos(actions + state[:, None]),
                value=jnp.sin(state),
            )
            return output, state + action

        root = mctx.RootFnOutput(
            prior_logits=jnp.cos(actions + states[:, None]), value=jnp.sin(states), embedding=states
        )
        function = getattr(search, policy)
        return function((), KEY, root, model, 6, **OPTIONS[policy]).action_weights

    (size,) = jax.export.symbolic_shape("games")
    exported = jax.export.export(jax.jit(act))(jax.ShapeDtypeStruct((size,), jnp.float32))
    again = jax.export.deserialize(exported.serialize())
    for games in (1, 4):
        states = jnp.arange(games, dtype=jnp.float32)
        np.testing.assert_allclose(again.call(states), act(states), atol=1e-6)
