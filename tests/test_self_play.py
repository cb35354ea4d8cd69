"""Self-play: what it records at the end of games, where it is random, and its metrics. Axes: T plies, B games."""

import functools
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jzero_envs.tic_tac_toe import TicTacToe
from scipy import stats

import jzero
from jzero.env import is_finished, step_batch
from jzero.models.plan import SearchSettings
from jzero.registry import make
from jzero.run.build import build_algorithm
from jzero.search import walk
from jzero.self_play import start_games
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import TINY, Race, play_on, same_bits, simulator, tiny, uniform_apply

# Compiling is what takes time here, so the tests share these few kinds of self-play.
KINDS = {
    "plain": (TicTacToe(), {"games": 1000}),
    "openings": (TicTacToe(), {"games": 1024, "opening_plies": 3}),
    "puct": (
        TicTacToe(),
        {
            "games": 512,
            "temperature_plies": 1,
            "search": SearchSettings(policy="puct", num_simulations=32, dirichlet_fraction=0.0),
        },
    ),
    "short race": (Race(), {"games": 256, "random_move_fraction": 0.3}),
    "race alone": (Race(num_players=1), {"games": 64}),
    "long race": (Race(goal=1000, limit=1000), {"games": 512}),
    "playout caps": (
        Race(goal=200, limit=200),
        {
            "games": 16,
            "plies": 64,
            "replay_plies": 64,
            "search": SearchSettings(policy="puct", num_simulations=7),
            "full_search_fraction": 0.25,
            "fast_simulations": 1,
        },
    ),
}


def flat_network(num_actions):
    """A network that knows nothing, for any environment."""

    def apply(params, observation):
        batch = jax.tree.leaves(observation)[0].shape[0]
        return jnp.zeros((batch, num_actions)), jnp.zeros(batch)

    return apply


@functools.cache
def player(kind):
    """(compiled self-play `(key, games) -> (games, transitions, metrics)`, the first games)."""
    env, changes = KINDS[kind]
    config = tiny(**({"plies": 12, "opening_plies": 0} | changes))
    model = simulator(env, flat_network(env.num_actions))
    run = quick_jit(lambda key, games: play_on(env, model, config, None, key, games))
    first = quick_jit(lambda key: start_games(env, config, key, config.games))
    return run, first(jax.random.key(9))


def recorded(kind):
    """(games, transitions [T, B], metrics) of one key as NumPy arrays."""
    run, games = player(kind)
    return jax.tree.map(np.asarray, run(jax.random.key(0), games))


def actions_taken(transitions):
    """Race's actions [T - 1, B], as the next state tells them; -1 where the game ended."""
    return transitions.position.action[1:]


def test_the_same_key_gives_the_same_games_and_another_key_others():
    run, games = player("plain")
    first, again, other = (run(jax.random.key(seed), games) for seed in (0, 0, 1))
    assert same_bits(first, again)
    assert (np.asarray(first[1].position.board) != np.asarray(other[1].position.board)).any(
        axis=(0, 2)
    ).mean() > 0.9


def test_a_game_goes_on_where_the_last_iteration_left_it():
    run, games = player("plain")
    later, first, _ = run(jax.random.key(0), games)
    _, second, _ = run(jax.random.key(1), later)
    np.testing.assert_array_equal(second.position.board[0], later.states.board)
    np.testing.assert_array_equal(later.ply, np.count_nonzero(later.states.board, axis=1))
    assert len(set(np.asarray(later.ply).tolist())) > 3
    assert first.ended.any(axis=0).all()


def test_every_ply_is_a_step_of_the_game_and_the_last_one_is_kept():
    env, _ = KINDS["short race"]
    games, transitions, _ = recorded("short race")
    ended = transitions.ended
    assert (ended.sum(axis=0) >= 1).all()
    assert {True, False} == set(transitions.truncated[ended].tolist())
    states = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transitions.position)
    assert not np.asarray(is_finished(states)).any()
    # Which action explains a ply: the one that leads to the next state or, at an end, to the recorded reward.
    explained = np.zeros(ended.shape, bool)
    following = jax.tree.map(
        lambda plies, last: np.concatenate([plies[1:], last[None]]), transitions.position, games.states
    )
    for action in range(3):
        after = jax.tree.map(
            lambda x: np.asarray(x).reshape(*ended.shape, *x.shape[1:]),
            step_batch(env, states, jnp.full(ended.size, action), jax.random.key(0)),
        )
        mover = transitions.position.current_player[..., None]
        reward = np.take_along_axis(after.rewards, mover, -1)[..., 0]
        over = after.terminated | after.truncated
        fits = (reward == transitions.reward) & (over == ended)
        fits &= (after.terminated & ended) == (ended & ~transitions.truncated)
        same_mover = after.current_player == transitions.position.current_player
        sign = np.where(after.terminated, 0.0, np.where(same_mover, 1.0, -1.0))
        fits &= sign == transitions.discount
        goes_on = (after.position == following.position) & (after.ply == following.ply)
        goes_on &= (after.current_player == following.current_player) & (following.action == action)
        goes_on &= after.legal_action_mask.all(-1) == following.legal_action_mask.all(-1)
        explained |= fits & (goes_on | ended)
    assert explained.all()
    # After an end the lane starts a new game.
    assert (following.ply[ended] == 0).all()
    assert (following.action[ended] == -1).all()
    np.testing.assert_array_equal(games.ply, games.states.ply)


def test_openings_are_random_marked_and_of_every_length():
    _, games = player("openings")
    counts = np.bincount(np.asarray(games.opening), minlength=4)
    assert len(counts) == 4
    assert stats.chisquare(counts).pvalue > 1e-4
    _, transitions, _ = recorded("openings")
    ply = np.count_nonzero(transitions.position.board, axis=-1)
    first_game = np.cumsum(transitions.ended, axis=0) - transitions.ended == 0
    expected = ply < np.asarray(games.opening)
    np.testing.assert_array_equal(transitions.explored[first_game], expected[first_game])
    # No game ends in its first four plies, but by an illegal action.
    assert not transitions.ended[ply < 4].any()
    # Later games have openings of their own: explored plies are a prefix of each game.
    late = transitions.explored[~first_game]
    assert 0 < late.mean() < 0.5
    assert (ply[~first_game][late] < 3).all()
    # ... and of their own length.
    starts = np.argwhere((ply == 0)[1:-2])
    lengths = np.array([transitions.explored[row + 1 : row + 4, lane].sum() for row, lane in starts])
    assert stats.chisquare(np.bincount(lengths, minlength=4)).pvalue > 1e-4
    assert 0.1 < (lengths == np.asarray(games.opening)[starts[:, 1]]).mean() < 0.4
    # Uniform over the legal cells.
    rows = np.asarray(games.opening) > 0
    cells = np.abs(transitions.position.board[1, rows]).argmax(axis=-1)
    assert stats.chisquare(np.bincount(cells, minlength=9)).pvalue > 1e-4


def test_random_moves_come_at_their_rate_and_are_legal():
    _, transitions, _ = recorded("short race")
    share = transitions.explored.mean()
    np.testing.assert_allclose(share, 0.3, atol=4 * np.sqrt(0.21 / transitions.explored.size))
    assert not transitions.ended[transitions.position.position == 0].any()  # what an illegal action does
    seen = transitions.explored[:-1] & ~transitions.ended[:-1]
    # Halfway no action ends the game: all three are legal there, and two at the start.
    for position, num_legal in ((0, 2), (1, 3), (2, 3)):
        actions = actions_taken(transitions)[seen & (transitions.position.position[:-1] == position)]
        counts = np.bincount(actions, minlength=num_legal)
        assert len(counts) == num_legal
        assert stats.chisquare(counts).pvalue > 1e-4


def test_a_thousand_games_begin_in_different_ways():
    _, transitions, _ = recorded("plain")
    board = np.abs(transitions.position.board)
    first, both = board[1].argmax(-1), transitions.position.board[2].astype(int) @ 3 ** np.arange(9)
    assert stats.entropy(np.bincount(first, minlength=9)) > 2.1  # of log 9 = 2.197
    assert stats.entropy(np.unique(both, return_counts=True)[1]) > 4.0  # of log 72 = 4.28


def test_noise_differs_from_ply_to_ply_and_from_row_to_row():
    _, transitions, _ = recorded("long race")
    actions = actions_taken(transitions)[1:]  # all three actions are legal
    shares = np.bincount(actions.ravel(), minlength=3) / actions.size
    chance = float(np.sum(shares**2))  # of two independent actions being equal
    assert stats.entropy(shares) > 0.6
    spread = 4 * np.sqrt(chance * (1 - chance) / actions[1:].size)
    np.testing.assert_allclose((actions[1:] == actions[:-1]).mean(), chance, atol=spread)
    np.testing.assert_allclose((actions[:, 1:] == actions[:, :-1]).mean(), chance, atol=spread)
    np.testing.assert_allclose((actions[:, :256] == actions[:, 256:]).mean(), chance, atol=1.5 * spread)


def test_metrics_are_what_the_transitions_say():
    _, transitions, metrics = recorded("openings")
    assert metrics["games_finished_share"].total == transitions.ended.sum()
    ply = np.count_nonzero(transitions.position.board, axis=-1)
    assert metrics["game_length"].total == (ply + 1)[transitions.ended].sum()
    first = np.where(transitions.position.current_player == 0, transitions.reward, -transitions.reward)
    assert (
        metrics["first_player_return"].total == first[transitions.ended].sum()
    )  # tic-tac-toe pays at the end only
    policy = transitions.policy.astype(np.float64)
    legal = transitions.position.legal_action_mask
    np.testing.assert_allclose(
        metrics["policy_entropy"].total, stats.entropy(policy, axis=-1).sum(), rtol=1e-4
    )
    prior = legal / legal.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        metrics["policy_kl_to_prior"].total,
        stats.entropy(policy, np.maximum(prior, 1e-30), axis=-1).sum(),
        rtol=1e-3,
    )
    assert metrics["evaluations_per_position"].total == ply.size * 5  # the root and four simulations
    assert not policy[~legal].any()
    np.testing.assert_allclose(policy.sum(-1), 1, atol=1e-5)
    assert np.abs(transitions.value).max() <= 1 + 1e-6


def test_one_player_sees_the_reward_of_a_ply():
    _, transitions, metrics = recorded("race alone")
    assert transitions.reward.any()
    assert metrics["reward_per_ply"] == (transitions.reward.sum(), transitions.reward.size)
    assert "reward_per_ply" not in recorded("short race")[2]


def test_a_fast_search_is_not_a_policy_target():
    _, transitions, metrics = recorded("playout caps")
    weight = transitions.policy_weight
    assert set(weight.ravel().tolist()) == {0.0, 1.0}
    assert metrics["evaluations_per_position"].total == np.sum(1 + np.where(weight == 1, 7, 1))
    assert 4 < weight[:, 0].sum() < 30  # binomial(64, 1/4)
    # PUCT's policy counts visits, so it tells how many simulations were made: in sevenths, or one action only.
    visits = transitions.policy * 7
    full = weight == 1
    np.testing.assert_allclose(visits, np.round(visits), atol=1e-4)
    assert (transitions.policy[~full].max(-1) == 1).all()
    assert (transitions.policy[full].max(-1) < 1).mean() > 0.9


def test_surprise_is_the_divergence_of_the_policy_from_the_prior_in_full_searches():
    """The network that knows nothing has a uniform prior over the legal actions."""
    _, transitions, _ = recorded("playout caps")
    policy = transitions.policy.astype(np.float64)
    legal = transitions.position.legal_action_mask
    logs = np.log(np.maximum(policy, 1e-12)) + np.log(legal.sum(-1, keepdims=True))
    expected = np.where(transitions.policy_weight == 1, (policy * logs).sum(-1), 0.0)
    np.testing.assert_allclose(transitions.surprise, expected, atol=1e-5)
    assert (expected > 0.1).any()


def test_without_playout_caps_every_ply_is_a_target():
    _, transitions, _ = recorded("plain")
    assert (transitions.policy_weight == 1).all()
    assert not transitions.explored.any()


def test_who_can_win_at_once_does():
    _, transitions, _ = recorded("puct")
    lines = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
    boards = transitions.position.board
    can_win = np.any([boards[..., list(line)].sum(-1) == 2 for line in lines], axis=0)
    wins = transitions.ended & (transitions.reward == 1)
    assert not (wins & ~can_win).any()
    assert wins[can_win].all()
    assert can_win.sum() > 100


def test_temperature_draws_early_moves_in_proportion_to_visits():
    _, transitions, _ = recorded("puct")
    first, second = (np.abs(transitions.position.board[ply]) for ply in (1, 2))
    shares = transitions.policy[0, 0].astype(float)  # of every row: the same position, no noise
    counts = np.bincount(first.argmax(-1), minlength=9)
    assert np.count_nonzero(shares) > 5
    assert counts[shares == 0].sum() == 0
    assert stats.chisquare(counts[shares > 0], 512 * shares[shares > 0] / shares.sum()).pvalue > 1e-4
    # Greedy from the second ply on: one of the most visited.
    reply = (second - first).argmax(-1)
    policy = transitions.policy[1]
    np.testing.assert_array_equal(policy[np.arange(512), reply], policy.max(-1))
    assert (policy.max(-1) < 0.5).any()


def test_a_batch_of_games_costs_a_call_of_the_network_for_each_simulation_of_a_ply():
    """7 plies of 100 games with 50 simulations are 350 calls of batch 100, not 35,000 of batch 1."""
    env = TicTacToe()
    config = tiny(
        games=100,
        plies=7,
        algorithm="gumbel_muzero",
        search=SearchSettings(num_simulations=50),
    )
    algorithm = build_algorithm(env, config)
    calls = []

    def counted(name, batch):
        jax.debug.callback(lambda rows: calls.append((name, rows)), batch.shape[0])

    def root(params, states):
        counted("root", states.current_player)
        return algorithm.model.root(params, states)

    def recurrent(params, key, action, latent):
        counted("recurrent", action)
        return algorithm.model.recurrent(params, key, action, latent)

    model = algorithm.model._replace(root=root, recurrent=recurrent)
    run = quick_jit(
        lambda params, games: play_on(env, model, config, params, jax.random.key(1), games)[1].action
    )
    games = start_games(env, config, jax.random.key(0), config.games)
    jax.block_until_ready(run(algorithm.init(jax.random.key(2)), games))
    jax.effects_barrier()
    assert calls.count(("root", 100)) == 7
    assert calls.count(("recurrent", 100)) == 350
    assert len(calls) == 357


def test_a_ply_is_few_calls_above_the_descent(monkeypatch):
    package, stacks = Path(jzero.__file__).parent, []
    original = walk.descend

    def spy(*arguments):
        frames = [
            frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(package)
        ]
        names = [frame.name for frame in frames]
        stacks.append([*names[names.index("one_ply") :], "descend"])
        return original(*arguments)

    monkeypatch.setattr(walk, "descend", spy)
    env, model = make(TINY.env), simulator(make(TINY.env), uniform_apply)
    games = start_games(env, TINY, jax.random.key(0), 2)
    jax.make_jaxpr(lambda key: play_on(env, model, TINY, None, key, games)[1].action)(jax.random.key(1))
    assert stacks
    for stack in stacks:
        assert len(stack) <= 7, " > ".join(stack)
