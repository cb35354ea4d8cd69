"""Arguments that do not fit are refused with the name, what came and what was expected."""

import jax
import jax.numpy as jnp
import mctx
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


def run(policy, num_simulations=2, **changes):
    root = search.RootFnOutput(**{name: changes.pop(name, value) for name, value in GOOD.items()})
    return policy((), jax.random.key(0), root, step, num_simulations, **changes)


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


@pytest.mark.parametrize("policy", [search.muzero_policy, search.gumbel_muzero_policy])
def test_bad_options_are_named(policy):
    tree = run(policy).search_tree
    other = run(policy, prior_logits=jnp.zeros((2, 4)), value=jnp.zeros(2), embedding=jnp.zeros((2, 2)))
    bad = [
        ({"leaves": 0}, "leaves is 0; it must be at least 1"),
        ({"leaves": 2, "loop_fn": lambda *args: None}, "loop_fn runs simulations one by one"),
        ({"max_num_simulations": 1}, "num_simulations is 2, above max_num_simulations 1"),
        ({"num_nodes": 2}, "num_nodes is 2 nodes; 2 simulations need at least 3"),
        ({"tree": tree, "num_simulations": 3}, "the reused tree has room for 3 nodes; 3 simulations need"),
        ({"tree": tree, "num_nodes": 9}, "num_nodes is 9, but the reused tree has room for 3"),
        ({"tree": other.search_tree}, r"tree holds 2 games of 4 actions; root.prior_logits \(3, 4\)"),
        ({"to_play": lambda x: x}, r"root.value has shape \(3,\); with to_play it must be \[3, P\]"),
        ({"max_bytes": 500}, r"takes [\d,]+ bytes, above max_bytes 500: 3 games x 3 nodes"),
        ({"check": True, "value": jnp.zeros(3).at[1].set(jnp.nan)}, "root.value has NaN in rows 1;"),
        ({"check": True, "prior_logits": jnp.zeros((3, 4)).at[2].set(jnp.nan)}, "NaN in rows 2;"),
        ({"check": True, "invalid_actions": jnp.ones((3, 4))}, "rows 0, 1, 2 have no legal action"),
    ]
    for change, message in bad:
        with pytest.raises(ValueError, match=message):
            run(policy, **change)


def test_bad_parallel_puct_is_named():
    with pytest.raises(ValueError, match=r"leaves is 3, which does not divide num_simulations 8; use 6 or 9"):
        run(search.muzero_policy, num_simulations=8, leaves=3)
    with pytest.raises(ValueError, match="virtual is 'lost'; it must be one of 'visit', 'loss', 'mean'"):
        run(search.muzero_policy, virtual="lost")


def test_nan_of_the_model_is_found_with_the_way_to_it():
    """The position after the actions 1, 1 of game 2 has no value; it is found if it is visited."""

    def broken(params, key, action, embedding):
        output, _ = step(params, key, action, embedding)
        path = 4 * embedding + action[:, None] + 1
        is_bad = (path[:, 0] == 4 * 2 + 1 + 1) & (jnp.arange(3) == 2)
        logits = jnp.zeros((3, 4)).at[:, 1].set(5.0)
        return output.replace(value=jnp.where(is_bad, jnp.nan, 0.0), prior_logits=logits), path

    root = search.RootFnOutput(
        prior_logits=jnp.zeros((3, 4)).at[:, 1].set(5.0), value=jnp.zeros(3), embedding=jnp.zeros((3, 1), int)
    )
    with pytest.raises(ValueError, match=r"NaN .* in row 2, for the position after the actions \[1, 1\]"):
        search.muzero_policy((), jax.random.key(0), root, broken, 8, dirichlet_fraction=0.0, check=True)


def test_check_needs_values():
    with pytest.raises(ValueError, match="call the policy outside jit"):
        jax.jit(lambda value: run(search.muzero_policy, value=value, check=True).action)(jnp.zeros(3))


@pytest.mark.parametrize("num_players", [1, 3])
def test_bytes_are_those_of_the_arrays(num_players):
    logits, state = jnp.zeros((5, 9)), {"a": jnp.zeros((5, 2, 3)), "b": jnp.zeros(5, jnp.int8)}
    value, to_play = jnp.zeros(5), None
    if num_players > 1:
        value, to_play = jnp.zeros((5, num_players)), lambda state: state["b"].astype(jnp.int32)

    def model(params, key, action, embedding):
        zero = jnp.zeros_like(value)
        return search.RecurrentFnOutput(
            reward=zero, discount=jnp.ones(5), prior_logits=logits, value=zero
        ), embedding

    root = search.RootFnOutput(prior_logits=logits, value=value, embedding=state)
    tree = search.muzero_policy(
        (), jax.random.key(0), root, model, 6, num_nodes=10, to_play=to_play
    ).search_tree
    arrays = (tree.nodes, tree.children, tree.open_priors, tree.embeddings)
    found = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    assert search.tree_nbytes(5, 9, 10, state, num_players) == found


@pytest.mark.parametrize("policy", [search.muzero_policy, search.gumbel_muzero_policy])
def test_new_weights_and_another_number_of_simulations_compile_nothing(policy):
    """A traced number of simulations gives what a static one gives, with one program for all."""
    traces = []

    def model(params, key, action, embedding):
        traces.append(0)
        output, _ = step(params, key, action, embedding)
        value = jnp.sin(params * (embedding[:, 0] + action))
        return output.replace(value=value), embedding + action[:, None]

    def search_all(params, num_simulations, cap=None):
        root = search.RootFnOutput(**GOOD)
        return policy(
            params, jax.random.key(0), root, model, num_simulations, max_num_simulations=cap
        ).search_tree.summary()

    dynamic = jax.jit(lambda params, n: search_all(params, n, 20))
    compiled = dynamic.lower(1.0, 2).compile()
    once = len(traces)
    for params, num_simulations in [(1.0, 1), (1.0, 20), (2.0, 13), (3.0, 16)]:
        found = compiled(jnp.float32(params), jnp.int32(num_simulations))
        assert len(traces) == once
        expected = jax.jit(search_all, static_argnums=1)(params, num_simulations)
        assert found.visit_counts.tolist() == expected.visit_counts.tolist()
        assert found.visit_counts.sum() == 3 * num_simulations
        del traces[once:]
    assert len({tuple(compiled(jnp.float32(p), jnp.int32(20)).value.tolist()) for p in (1, 2, 3)}) == 3


def test_a_traced_number_of_simulations_needs_a_cap():
    with pytest.raises(ValueError, match="num_simulations is traced; pass max_num_simulations"):
        jax.jit(lambda n: run(search.muzero_policy, num_simulations=n).action)(3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"forced": -1.0}, "forced is -1.0; it must be at least 0"),
        ({"forced": 2.0, "solve": True}, r"forced is 2.0 with solve=True and leaves=1; .* use forced=0"),
        ({"forced": 2.0, "leaves": 2}, r"forced is 2.0 with solve=False and leaves=2"),
    ],
)
def test_forced_visits_that_do_not_fit_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        run(search.muzero_policy, 4, **options)


def outputs(**changed):
    """A model of 4 games and 3 actions whose output has these fields in place of good ones."""

    def recurrent_fn(params, key, action, embedding):
        good = {
            "reward": jnp.zeros(4),
            "discount": jnp.ones(4),
            "prior_logits": jnp.zeros((4, 3)),
            "value": jnp.zeros(4),
        }
        step = mctx.RecurrentFnOutput(**{name: changed.get(name, value) for name, value in good.items()})
        return step, changed.get("embedding", embedding)

    return recurrent_fn


@pytest.mark.parametrize("policy", [search.muzero_policy, search.gumbel_muzero_policy])
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (outputs(discount=0.9), r"discount of shape \(\); its shape must be \(4,\)"),
        (outputs(reward=jnp.zeros((4, 1))), r"reward of shape \(4, 1\); its shape must be \(4,\)"),
        (outputs(value=None), r"value None; its shape must be \(4,\)"),
        (outputs(prior_logits=jnp.zeros((4, 2))), r"prior_logits of shape \(4, 2\); .* \(4, 3\)"),
        (outputs(embedding={"x": jnp.zeros((4, 2))}), r"leaf \['x'\] has shape \(4, 2\); .* \(4, 5\)"),
        (outputs(embedding=None), r"structure PyTreeDef\(None\); it must be that of root.embedding"),
        (
            lambda *args: outputs()(*args)[0],
            "a RecurrentFnOutput; it must return a RecurrentFnOutput and the",
        ),
        (
            lambda *args: (*outputs()(*args), 1),
            "3 values; it must return a RecurrentFnOutput and the embedding",
        ),
        (
            lambda *args: ({"reward": 1}, args[-1]),
            "a dict without reward; its output must have reward, discount",
        ),
    ],
)
def test_what_a_model_returns_is_named_where_it_does_not_fit(policy, model, said):
    root = mctx.RootFnOutput(
        prior_logits=jnp.zeros((4, 3)), value=jnp.zeros(4), embedding={"x": jnp.zeros((4, 5))}
    )
    with pytest.raises(ValueError, match=f"^recurrent_fn returns .*{said}"):
        policy((), jax.random.key(0), root, model, 2)


@pytest.mark.parametrize(
    ("decided", "resolved", "said"),
    [
        ({"afterstate_value": 0.0}, {}, r"decision_recurrent_fn returns afterstate_value of shape \(\)"),
        (
            {"chance_logits": jnp.zeros((1, 2))},
            {},
            r"decision_recurrent_fn returns chance_logits of shape \(1, 2\)",
        ),
        (
            {},
            {"action_logits": jnp.zeros((4, 2))},
            r"chance_recurrent_fn returns action_logits of shape \(4, 2\)",
        ),
        ({}, {"discount": 1.0}, r"chance_recurrent_fn returns discount of shape \(\)"),
    ],
)
def test_what_the_models_of_chance_return_is_named_where_it_does_not_fit(decided, resolved, said):
    def decide(params, key, action, state):
        good = {"chance_logits": jnp.zeros((4, 2)), "afterstate_value": jnp.zeros(4)}
        return mctx.DecisionRecurrentFnOutput(**(good | decided)), state

    def resolve(params, key, outcome, after):
        good = dict.fromkeys(("value", "reward", "discount"), jnp.zeros(4))
        return mctx.ChanceRecurrentFnOutput(**(good | {"action_logits": jnp.zeros((4, 3))} | resolved)), after

    root = mctx.RootFnOutput(prior_logits=jnp.zeros((4, 3)), value=jnp.zeros(4), embedding=jnp.zeros((4, 1)))
    with pytest.raises(ValueError, match=said):
        search.stochastic_muzero_policy((), jax.random.key(0), root, decide, resolve, 2)


def test_with_chance_a_models_output_is_named_by_its_own_shape():
    """Not by that of the edges of actions and outcomes together."""
    policy = search.with_chance(
        search.muzero_policy, lambda params, key, action, state: (jnp.zeros((4, 2)), state)
    )
    root = mctx.RootFnOutput(
        prior_logits=jnp.zeros((4, 3)), value=jnp.zeros(4), embedding={"x": jnp.zeros((4, 5))}
    )
    with pytest.raises(ValueError, match=r"prior_logits of shape \(4, 2\); its shape must be \(4, 3\)"):
        policy((), jax.random.key(0), root, outputs(prior_logits=jnp.zeros((4, 2))), 2)
