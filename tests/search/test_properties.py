"""What holds for any search: bookkeeping, the game's rules, independence of rows, noise, and strength."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import LINES, TicTacToe
from scipy import special, stats

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import TreeArrays, quick_jit, summary_of

POLICIES = ["muzero_policy", "gumbel_muzero_policy"]
A, N, B = 5, 32, 256  # of the searches below, unless a test says otherwise


@functools.cache
def compiled(policy: str, num_simulations: int = N) -> Callable:
    """`(tables, key, roots, invalid_actions, noise=0, temperature=0)` -> PolicyOutput.

    `noise` is the Dirichlet fraction or the Gumbel scale.
    """

    def run(tables, key, roots, invalid, noise, temperature):
        if policy == "muzero_policy":
            options = {"dirichlet_fraction": noise, "temperature": temperature}
        else:
            options = {"gumbel_scale": noise}
        root = tables_lib.jax_root(tables, roots)
        return getattr(search, policy)(
            tables, key, root, tables_lib.recurrent_fn, num_simulations, invalid, **options
        )

    jitted = quick_jit(run)

    def call(tables, key, roots, invalid, noise=0.0, temperature=0.0):
        tables = jax.tree.map(jnp.asarray, tables)
        return jitted(tables, key, roots, invalid, jnp.float32(noise), jnp.float32(temperature))

    return call


def random_game(seed: int = 0, batch_size: int = B, **options: Any) -> tuple:
    """Tables with terminal and illegal actions; root states i32[B]; illegal root actions bool[B, A]."""
    tables = tables_lib.random_tables(seed, A, **({"share_terminal": 0.2, "share_illegal": 0.3} | options))
    roots = tables_lib.random_roots(seed, tables, batch_size)
    return tables, roots, tables_lib.random_invalid_actions(seed, tables, roots)


def assert_rows_equal(actual: mctx.PolicyOutput, expected: mctx.PolicyOutput) -> None:
    """Equal trees, actions and weights; values up to the rounding of another vectorisation."""
    for name, array, other in zip(
        TreeArrays._fields,
        TreeArrays.of(actual.search_tree),
        TreeArrays.of(expected.search_tree),
        strict=True,
    ):
        if array.dtype == np.int32:
            np.testing.assert_array_equal(array, other, err_msg=name)
        else:
            np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(actual.action, expected.action)
    np.testing.assert_allclose(actual.action_weights, expected.action_weights, rtol=1e-4, atol=1e-5)


def take_rows(output: mctx.PolicyOutput, rows: Any) -> mctx.PolicyOutput:
    return jax.tree.map(lambda x: np.asarray(x)[rows], output)


# Bookkeeping.


@pytest.mark.parametrize("policy", POLICIES)
def test_visits_and_values_add_up_in_every_node(policy):
    tables, roots, invalid = random_game()
    tree = TreeArrays.of(compiled(policy)(tables, jax.random.key(0), roots, invalid, 0.25).search_tree)
    np.testing.assert_array_equal(tree.node_visits[:, 0], N + 1)
    inner = (tree.node_visits > 0) & ~terminals(tree)
    np.testing.assert_array_equal(tree.node_visits[inner], 1 + tree.children_visits.sum(-1)[inner])
    total = tree.raw_values + (tree.children_visits * tree.qvalues).sum(-1)
    mean = total / np.maximum(tree.node_visits, 1)
    np.testing.assert_allclose(tree.node_values[inner], mean[inner], atol=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
def test_edges_and_parents_agree_and_slots_without_a_node_are_empty(policy):
    tables, roots, invalid = random_game()
    tree = TreeArrays.of(compiled(policy)(tables, jax.random.key(0), roots, invalid).search_tree)
    np.testing.assert_array_equal(tree.children_index >= 0, tree.children_visits > 0)
    row, parent, action = np.nonzero(tree.children_visits)
    child = tree.children_index[row, parent, action]
    np.testing.assert_array_equal(tree.node_visits[row, child], tree.children_visits[row, parent, action])
    np.testing.assert_array_equal(tree.parents[row, child], parent)
    np.testing.assert_array_equal(tree.action_from_parent[row, child], action)
    empty = tree.node_visits == 0
    assert np.any(empty)  # a visit to a known terminal adds no node
    assert np.all(tree.parents[empty] == search.Tree.NO_PARENT)
    assert np.all(tree.action_from_parent[empty] == search.Tree.NO_PARENT)


def terminals(tree: TreeArrays) -> np.ndarray:
    """bool[B, N]: nodes reached by an edge of discount 0."""
    result = np.zeros(tree.node_visits.shape, bool)
    row, parent, action = np.nonzero((tree.children_visits > 0) & (tree.children_discounts == 0))
    result[row, tree.children_index[row, parent, action]] = True
    return result


@pytest.mark.parametrize("policy", POLICIES)
def test_statistics_are_float32_when_the_network_is_bfloat16(policy):
    tables, roots, invalid = random_game()
    halves = tables_lib.Tables(*(x if x.dtype == np.int32 else x.astype(jnp.bfloat16) for x in tables))
    rounded = tables_lib.Tables(*(x if x.dtype == np.int32 else x.astype(np.float32) for x in halves))
    key = jax.random.key(0)
    output = compiled(policy)(halves, key, roots, invalid)
    tree, summary = output.search_tree, summary_of(output.search_tree)
    for array in [
        tree.node_values,
        tree.children_values,
        summary.value,
        summary.qvalues,
        output.action_weights,
    ]:
        assert array.dtype == jnp.float32
    assert_rows_equal(output, compiled(policy)(rounded, key, roots, invalid))


# The rules of the game.


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_grows_below_a_terminal_and_its_value_is_the_exact_reward(policy):
    tables, roots, invalid = random_game()
    tables.value[-1] = 1e6  # what the network says of a finished game must not count
    tree = TreeArrays.of(compiled(policy)(tables, jax.random.key(0), roots, invalid).search_tree)
    terminal = terminals(tree)
    assert np.sum(tree.node_visits[terminal] > 1) > B  # many are visited again
    assert np.all(tree.children_index[terminal] == -1)
    assert np.all(tree.children_visits[terminal] == 0)
    edges = (tree.children_visits > 0) & (tree.children_discounts == 0)
    np.testing.assert_array_equal(tree.qvalues[edges], tree.children_rewards[edges])
    assert np.all(np.abs(tree.node_values[~terminal]) < 50)


@pytest.mark.parametrize("policy", POLICIES)
def test_illegal_actions_have_no_mass_anywhere(policy):
    tables, roots, invalid = random_game(share_illegal=0.6)
    output = compiled(policy)(tables, jax.random.key(0), roots, invalid, 1.0, 1.0)
    tree = TreeArrays.of(output.search_tree)
    illegal = np.isneginf(tables.prior_logits[np.asarray(output.search_tree.embeddings)])
    illegal[:, 0] = invalid
    assert np.sum(illegal[tree.node_visits > 1]) > B
    assert np.all(tree.children_visits[illegal] == 0)
    assert np.all(np.asarray(output.action_weights)[invalid] == 0)
    np.testing.assert_allclose(output.action_weights.sum(-1), 1, atol=1e-5)
    assert not np.any(invalid[np.arange(B), output.action])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_single_legal_action_gets_every_visit(policy):
    tables, roots, invalid = random_game()
    only = np.argmin(invalid, axis=1)
    output = compiled(policy)(tables, jax.random.key(0), roots, np.arange(A) != only[:, None], 1.0, 1.0)
    np.testing.assert_array_equal(summary_of(output.search_tree).visit_counts, N * np.eye(A)[only])
    np.testing.assert_array_equal(output.action, only)
    np.testing.assert_allclose(output.action_weights, np.eye(A)[only], atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_game_without_legal_actions_gives_no_nan(policy):
    tables, roots, invalid = random_game()
    invalid[::2] = True
    output = compiled(policy)(tables, jax.random.key(0), roots, invalid, 1.0, 1.0)
    assert np.all(np.isfinite(output.action_weights))
    for name, array in zip(TreeArrays._fields, TreeArrays.of(output.search_tree), strict=True):
        assert not np.any(np.isnan(array)), name
    priors = special.softmax(np.asarray(output.search_tree.children_prior_logits[:, 0]), axis=-1)
    assert np.all(np.isfinite(priors))
    assert np.all((output.action >= 0) & (output.action < A))


# Rows of a batch.


@pytest.mark.parametrize("policy", POLICIES)
def test_permuted_rows_give_permuted_results(policy):
    tables, roots, invalid = random_game()
    order = np.random.default_rng(0).permutation(B)
    key = jax.random.key(0)
    output = compiled(policy)(tables, key, roots, invalid)
    permuted = compiled(policy)(tables, key, roots[order], invalid[order])
    assert_rows_equal(permuted, take_rows(output, order))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_row_alone_gives_what_it_gives_in_a_batch(policy):
    tables, roots, invalid = random_game()
    key = jax.random.key(0)
    output = compiled(policy)(tables, key, roots, invalid)
    for row in [0, 7, 100]:
        alone = compiled(policy)(tables, key, roots[row : row + 1], invalid[row : row + 1])
        assert_rows_equal(alone, take_rows(output, slice(row, row + 1)))


@pytest.mark.parametrize("policy", POLICIES)
def test_noise_of_a_row_does_not_depend_on_the_other_games(policy):
    tables, roots, invalid = random_game()
    _, other_roots, other_invalid = random_game(seed=1)
    kept = np.arange(B) % 3 == 0
    key = jax.random.key(0)
    output = compiled(policy)(tables, key, roots, invalid, 1.0, 1.0)
    mixed = compiled(policy)(
        tables,
        key,
        np.where(kept, roots, other_roots),
        np.where(kept[:, None], invalid, other_invalid | np.isneginf(tables.prior_logits[other_roots])),
        1.0,
        1.0,
    )
    assert_rows_equal(take_rows(mixed, kept), take_rows(output, kept))


# Noise and sampling.


def test_dirichlet_noise_is_drawn_over_the_legal_actions_only():
    """With 30 legal of 300 actions, the legal ones share the whole fraction, Dirichlet-distributed."""
    batch_size, num_actions, num_legal, alpha, fraction = 1500, 300, 30, 0.3, 0.25
    rng = np.random.default_rng(0)
    legal = rng.permuted(np.arange(num_actions) < num_legal * np.ones((batch_size, 1)), axis=1)
    logits = rng.standard_normal((batch_size, num_actions)).astype(np.float32)

    @quick_jit
    def noisy_logits(logits, invalid):
        zeros = jnp.zeros(batch_size)
        root = mctx.RootFnOutput(prior_logits=logits, value=zeros, embedding=zeros)

        def recurrent_fn(params, rng_key, action, embedding):
            return mctx.RecurrentFnOutput(
                reward=zeros, discount=zeros, prior_logits=logits, value=zeros
            ), embedding

        output = search.muzero_policy(
            (),
            jax.random.key(0),
            root,
            recurrent_fn,
            1,
            invalid,
            dirichlet_fraction=fraction,
            dirichlet_alpha=alpha,
        )
        return output.search_tree.children_prior_logits[:, 0]

    noisy = special.softmax(np.asarray(noisy_logits(logits, ~legal)), axis=1)
    prior = special.softmax(np.where(legal, logits, -np.inf), axis=1)
    assert np.all(noisy[~legal] < 1e-30)
    noise = ((noisy - (1 - fraction) * prior) / fraction)[legal].reshape(batch_size, num_legal)
    np.testing.assert_allclose(noise.sum(axis=1), 1, atol=1e-4)
    assert np.min(noise) > -1e-5
    # Moments of Dirichlet(alpha, ..., alpha), and the law of one component: Beta(alpha, (K - 1) alpha).
    assert np.mean(noise**2) == pytest.approx((alpha + 1) / (num_legal * (num_legal * alpha + 1)), rel=0.05)
    large = stats.beta(alpha, (num_legal - 1) * alpha)
    assert stats.kstest(np.maximum(noise[:, 0], 0), large.cdf).pvalue > 1e-3
    np.testing.assert_allclose(noise.mean(axis=0), 1 / num_legal, atol=5 * large.std() / np.sqrt(batch_size))


def constant_value_tables(noise: float = 0.0) -> tables_lib.Tables:
    """A network that values everything the same, up to `noise`, in a game without rewards."""
    tables = tables_lib.random_tables(3, A, discounts=(1.0,))
    value = np.float32(0.3) + np.float32(noise) * tables.value
    return tables._replace(value=value, reward=np.zeros_like(tables.reward))


def test_improved_policy_of_a_constant_value_network_is_its_prior():
    tables = constant_value_tables(noise=1e-6)
    roots = tables_lib.random_roots(0, tables, B)
    output = compiled("gumbel_muzero_policy")(tables, jax.random.key(0), roots, np.zeros((B, A), bool), 1.0)
    prior = special.softmax(tables.prior_logits[roots], axis=1)
    np.testing.assert_allclose(output.action_weights, prior, atol=2e-3)


def sampled_actions(policy: str, tables: tables_lib.Tables, state: int, **options: float) -> np.ndarray:
    """i32[8 B] actions of searches from one state that differ by their randomness only."""
    roots, invalid = np.full(B, state, np.int32), np.zeros((B, A), bool)
    keys = jax.random.split(jax.random.key(1), 8)
    run = compiled(policy)
    return np.concatenate([run(tables, key, roots, invalid, **options).action for key in keys])


def test_gumbel_actions_follow_the_prior_when_values_say_nothing():
    tables = constant_value_tables()
    expected = special.softmax(tables.prior_logits[0].astype(np.float64))
    actions = sampled_actions("gumbel_muzero_policy", tables, 0, noise=1.0)
    observed = np.bincount(actions, minlength=A)
    assert stats.chisquare(observed, expected * len(actions)).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_muzero_actions_follow_the_visits_to_the_power_of_inverse_temperature(temperature):
    tables = constant_value_tables()
    state, no_mask = np.zeros(B, np.int32), np.zeros((B, A), bool)
    output = compiled("muzero_policy")(tables, jax.random.key(0), state, no_mask)
    power = np.asarray(summary_of(output.search_tree).visit_counts[0], np.float64) ** (1 / temperature)
    assert np.sum(power > 0) > 2
    actions = sampled_actions("muzero_policy", tables, 0, temperature=temperature)
    observed, expected = np.bincount(actions, minlength=A), power / power.sum() * len(actions)
    assert np.all(observed[expected == 0] == 0)
    assert stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 1e-3


def test_muzero_plays_a_most_visited_action_at_temperature_zero():
    tables, roots, invalid = random_game()
    output = compiled("muzero_policy")(tables, jax.random.key(0), roots, invalid, 0.25, 0.0)
    visits = summary_of(output.search_tree).visit_counts
    np.testing.assert_array_equal(visits[np.arange(B), output.action], visits.max(axis=1))


# Strength.


def bandits(seed: int) -> tables_lib.Tables:
    """Every state is a bandit, whose actions end the game; the network's value is that of its policy."""
    tables = tables_lib.random_tables(seed, A, share_terminal=1.0)
    prior = special.softmax(np.where(np.isneginf(tables.prior_logits), 0, tables.prior_logits), axis=1)
    return tables._replace(value=(prior * tables.reward).sum(axis=1).astype(np.float32))


def test_improved_policy_is_no_worse_than_the_prior_on_any_bandit():
    tables = bandits(0)
    roots = np.arange(B, dtype=np.int32)
    output = compiled("gumbel_muzero_policy")(tables, jax.random.key(0), roots, np.zeros((B, A), bool), 1.0)
    gain = (output.action_weights * tables.reward[roots]).sum(axis=1) - tables.value[roots]
    assert np.min(gain) > -1e-5
    assert np.mean(gain) > 0.2


def test_gumbel_with_few_simulations_improves_the_policy_in_expectation():
    """Four simulations for five actions: on each bandit the action is worth more than the prior's mean."""
    num_bandits, tries = 16, 256
    tables = bandits(1)
    roots = np.repeat(np.arange(num_bandits, dtype=np.int32), tries)
    run = compiled("gumbel_muzero_policy", num_simulations=4)
    output = run(tables, jax.random.key(0), roots, np.zeros((len(roots), A), bool), 1.0)
    worth = tables.reward[roots, output.action].reshape(num_bandits, tries)
    gain = worth.mean(axis=1) - tables.value[:num_bandits]
    assert np.all(gain > -4 * worth.std(axis=1) / np.sqrt(tries))
    assert np.mean(gain) > 0.1


def full_game_trees(num_games: int, width: int, depth: int) -> tuple[tables_lib.Tables, np.ndarray]:
    """Two-player games that end after `depth` plies with -1, 0 or 1; the network knows nothing.

    Returns:
      tables; minimax f32[G, width], the value of each first move for the player who makes it.
    """
    rng = np.random.default_rng(0)
    sizes = [width**level for level in range(depth)]
    starts = np.cumsum([0, *sizes])
    states = num_games * starts[-1]
    reward = np.zeros((num_games, starts[-1], width), np.float32)
    reward[:, starts[-2] :] = rng.integers(-1, 2, (num_games, sizes[-1], width))
    successor = 1 + np.arange(starts[-1] * width).reshape(-1, width)
    ends = successor >= starts[-1]
    offset = np.arange(num_games)[:, None, None] * starts[-1]
    worth = reward[:, starts[-2] :]
    for level in reversed(range(depth - 1)):
        worth = -worth.max(axis=-1).reshape(num_games, sizes[level], width)
    shape = (states + 1, width)

    def rows(array: np.ndarray, last: float) -> np.ndarray:
        whole = np.broadcast_to(array, (num_games, starts[-1], width)).reshape(states, width)
        return np.concatenate([whole, np.full((1, width), last)])

    tables = tables_lib.Tables(
        successor=rows(np.where(ends, states, successor + offset), states).astype(np.int32),
        reward=rows(reward, 0).astype(np.float32),
        discount=rows(np.where(ends, 0.0, -1.0), 0).astype(np.float32),
        prior_logits=(0.1 * rng.standard_normal(shape)).astype(np.float32),
        value=np.zeros(shape[0], np.float32),
    )
    return tables, worth[:, 0]


@pytest.mark.parametrize("policy", POLICIES)
def test_many_simulations_with_a_perfect_model_play_minimax(policy):
    """The network knows nothing, so both searches are set to explore."""
    num_games, width, depth = 128, 3, 3
    tables, minimax = full_game_trees(num_games, width, depth)
    roots = np.arange(num_games, dtype=np.int32) * ((width**depth - 1) // (width - 1))
    options = {
        "muzero_policy": {"dirichlet_fraction": 0.0, "temperature": 0.0, "pb_c_init": 4.0},
        "gumbel_muzero_policy": {
            "gumbel_scale": 0.0,
            "qtransform": functools.partial(
                search.qtransform_completed_by_mix_value, rescale_values=False, value_scale=0.05
            ),
        },
    }[policy]

    @quick_jit
    def run(tables):
        root = tables_lib.jax_root(tables, roots)
        return getattr(search, policy)(
            tables, jax.random.key(0), root, tables_lib.recurrent_fn, 1000, **options
        )

    output = run(jax.tree.map(jnp.asarray, tables))
    best, chosen = minimax.max(axis=1), (np.arange(num_games), output.action)
    assert 0.2 < np.mean(minimax == best[:, None]) < 0.8  # a random move is often wrong
    np.testing.assert_array_equal(minimax[chosen], best)
    np.testing.assert_allclose(np.asarray(summary_of(output.search_tree).qvalues)[chosen], best, atol=0.35)


def tic_tac_toe_positions() -> Any:
    """Unfinished states [G] of random games, at every ply."""
    env = TicTacToe()
    key = jax.random.key(0)

    @quick_jit
    def play(key):
        def ply(states, key):
            logits = jnp.where(states.legal_action_mask, 0.0, -jnp.inf)
            actions = jax.random.categorical(key, logits)
            return jax.vmap(env.step, (0, 0, None))(states, actions, key), states

        states = jax.vmap(env.init)(jax.random.split(key, 128))
        return jax.lax.scan(ply, states, jax.random.split(key, 9))[1]

    states = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), play(key))
    return jax.tree.map(lambda x: x[~states.terminated], states)


def winning_cells(boards: np.ndarray, stone: int) -> np.ndarray:
    """bool[G, 9]: cells where `stone` completes a line."""
    lines = boards[:, LINES]
    open_lines = (lines == stone).sum(-1) == 2
    cells = np.zeros(boards.shape, bool)
    for line, complete in zip(LINES, open_lines.T, strict=True):
        cells[:, line] |= complete[:, None] & (boards[:, line] == 0)
    return cells


@pytest.mark.parametrize("policy", POLICIES)
def test_a_win_in_one_is_found_and_blocked_by_both_seats(policy):
    env = TicTacToe()
    states = tic_tac_toe_positions()
    wins, threats = winning_cells(states.board, 1), winning_cells(states.board, -1)
    can_win = wins.any(axis=1)
    must_block = ~can_win & (threats.sum(axis=1) == 1)
    games = np.nonzero(can_win | must_block)[0][:256]
    states = jax.tree.map(lambda x: x[games], states)

    def recurrent_fn(params, rng_key, action, before):
        after = jax.vmap(env.step, (0, 0, None))(before, action, rng_key)
        zeros = jnp.zeros(len(games))
        return mctx.RecurrentFnOutput(
            reward=jnp.take_along_axis(after.rewards, before.current_player[:, None], axis=1)[:, 0],
            discount=jnp.where(after.terminated, 0.0, -1.0),
            prior_logits=jnp.where(after.legal_action_mask, 0.0, -jnp.inf),
            value=zeros,
        ), after

    @quick_jit
    def actions(states):
        zeros = jnp.zeros((len(games), 9))
        root = mctx.RootFnOutput(prior_logits=zeros, value=zeros[:, 0], embedding=states)
        options = (
            {"dirichlet_fraction": 0.0, "temperature": 0.0}
            if policy == "muzero_policy"
            else {"gumbel_scale": 0.0}
        )
        return getattr(search, policy)(
            (), jax.random.key(0), root, recurrent_fn, 200, ~states.legal_action_mask, **options
        ).action

    wanted = np.where(can_win[:, None], wins, threats)[games]
    correct = wanted[np.arange(len(games)), actions(states)]
    for seat in [0, 1]:
        for kind in [can_win, must_block]:
            chosen = correct[(states.current_player == seat) & kind[games]]
            assert len(chosen) > 20
            assert np.all(chosen)
