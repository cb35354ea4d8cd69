"""Planning with explicit chance finds what exhaustive expectimax finds; self-play, agents and checks with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.game_2048 import Game2048

from jzero.env import init_batch, is_finished, random_actions, step_batch
from jzero.env_spec import describe
from jzero.models.plan import SearchSettings
from jzero.models.rollouts import rollout_model
from jzero.run.build import build_algorithm
from jzero.self_play import start_games
from tests.helpers.env_examples import DiceRace
from tests.helpers.tiny import planned, play_on, simulator, tiny
from tests.oracles import game_2048 as rules
from tests.oracles.dice_race import Race, dice_race
from tests.oracles.expectimax import Game, Outcome, solve

KEY = jax.random.key(0)
SEARCH = {
    "gumbel": SearchSettings(policy="gumbel", max_considered=4),
    "puct": SearchSettings(policy="puct", pb_c_init=0.3),
}


class Sampled:
    """An environment without its explicit chance: a search takes the one outcome that its key gives."""

    def __init__(self, env):
        self.env = env

    def __getattr__(self, name):
        if name in ("decide", "chance_logits", "resolve", "num_outcomes"):
            raise AttributeError(name)
        return getattr(self.env, name)


def knows_nothing(env):
    """A "network": equal logits, values of 0."""

    def apply(params, observation):
        batch = jax.tree.leaves(observation)[0].shape[0]
        shape = (batch,) if env.num_players < 3 else (batch, env.num_players)
        return jnp.zeros((batch, env.num_actions)), jnp.zeros(shape)

    return apply


def visited_states(env, num_games, num_plies):
    """Unfinished states [N] of random games, without those that occur twice."""
    states, found = init_batch(env, KEY, num_games), []
    step = jax.jit(lambda states, key: step_batch(env, states, random_actions(states, key), key))
    for ply in range(num_plies):
        found.append(jax.tree.map(np.asarray, states))
        states = step(states, jax.random.fold_in(KEY, ply))
    together = jax.tree.map(lambda *x: np.concatenate(x), *found)
    going = np.flatnonzero(~is_finished(together))
    rows = [b"".join(leaf[row].tobytes() for leaf in together[:-3]) for row in going]
    _, first = np.unique(rows, return_index=True)
    return jax.tree.map(lambda x: x[going[np.sort(first)]], together)


def searched(env, states, policy, num_simulations):
    model = simulator(env, knows_nothing(env))
    run = jax.jit(functools.partial(planned, SEARCH[policy], model, None, num_simulations=num_simulations))
    return jax.tree.map(np.asarray, run(KEY, states))


def as_race(states, row):
    return Race(
        tuple(states.position[row].tolist()), int(states.current_player[row]), int(states.ply[row]), False
    )


def assert_nearly_optimal(policy, regrets, errors):
    """Of each state, what the chosen action loses and how far the value is from the best play's.

    A search backs up means, to which the actions that it explores belong; PUCT explores more.
    """
    assert np.max(regrets) < (0.01 if policy == "gumbel" else 0.25)
    assert np.mean(regrets) < (1e-3 if policy == "gumbel" else 0.01)
    assert np.max(errors) < 0.2
    assert np.mean(errors) < (0.005 if policy == "gumbel" else 0.02)


LONGER = [pytest.param(*case, marks=pytest.mark.slow) for case in [(2, "puct"), (3, "gumbel"), (3, "puct")]]


@pytest.mark.parametrize(("num_players", "policy"), [(2, "gumbel"), *LONGER])
def test_search_equals_expectimax_in_a_race_with_dice(num_players, policy):
    env = DiceRace(num_players, goal=4, limit=4)
    states = visited_states(env, 300, 4)
    count = len(states.ply)
    assert count > 50
    found = searched(env, states, policy, 1500)
    values, qvalues = solve(dice_race(num_players, env.goal, env.limit))
    regrets, errors, last = [], [], []
    for row in range(count):
        race = as_race(states, row)
        own = {action: q[race.mover] for action, q in qvalues(race).items()}
        worth = own[int(found.action[row])]
        regrets.append(max(own.values()) - worth)
        by_seat = num_players > 2
        expected = values(race) if by_seat else values(race)[race.mover]
        errors.append(np.max(np.abs(found.value[row] - np.array(expected))))
        if race.ply == env.limit - 1:
            qvalue = found.qvalue[row][race.mover] if by_seat else found.qvalue[row]
            last.append(abs(float(qvalue) - worth))
    assert_nearly_optimal(policy, regrets, errors)
    # One ply before the end nothing is explored: the outcomes' frequencies alone are off, by one in some hundreds.
    assert len(last) > 40
    assert max(last) < 0.002


@pytest.mark.slow
def test_a_sampled_step_takes_luck_for_skill():
    env = DiceRace(2, goal=4, limit=4)
    states = visited_states(env, 300, 4)
    _, qvalues = solve(dice_race(2, env.goal, env.limit))

    def regret(env):
        found = searched(env, states, "gumbel", 300)
        lost = []
        for row, action in enumerate(found.action):
            race = as_race(states, row)
            own = {action: q[race.mover] for action, q in qvalues(race).items()}
            lost.append(max(own.values()) - own[int(action)])
        return np.mean(lost)

    assert regret(env) < 0.005
    assert regret(Sampled(env)) > 0.02


def two_by_two(depth):
    """2048 on 2 x 2 that is over by its rules or after `depth` moves; a state is (board, moves left)."""

    def moves(state):
        board, left = state
        if left == 0:
            return {}
        found = {}
        for action in rules.legal_actions(board):
            moved, score = rules.slide(board, action)
            found[action] = [
                Outcome(float(chance), (score,), (after, left - 1))
                for chance, after in rules.new_tiles(moved)
            ]
        return found

    return Game(mover=lambda state: 0, moves=moves)


class Cut(Game2048):
    """2048 that is over after `depth` moves; the score counts them, so that the state stays as it is."""

    depth = 2

    def init(self, key):
        return super().init(key)._replace(score=jnp.int32(0))

    def decide(self, state, action):
        after = super().decide(state, action)
        return after._replace(score=state.score + ~is_finished(state))

    def resolve(self, afterstate, outcome):
        state = super().resolve(afterstate, outcome)
        return state._replace(terminated=state.terminated | (state.score >= self.depth))


@pytest.mark.slow
@pytest.mark.parametrize("policy", SEARCH)
def test_search_equals_expectimax_on_small_boards_of_2048(policy):
    env = Cut(2)
    rng = np.random.default_rng(0)
    boards = (rng.integers(1, 5, size=(250, 2, 2)) * (rng.random((250, 2, 2)) < 0.7)).astype(np.int8)
    tiles = [tuple(tuple(2**x if x else 0 for x in row) for row in board) for board in boards.tolist()]
    legal = np.array([[action in rules.legal_actions(board) for action in range(4)] for board in tiles])
    start = env.init(KEY)
    states = jax.vmap(lambda board, legal: start._replace(board=board, legal_action_mask=legal))(
        boards, legal
    )
    found = searched(env, states, policy, 1000)
    values, qvalues = solve(two_by_two(env.depth))
    going = np.flatnonzero(legal.any(axis=1))
    assert len(going) > 200
    regrets, errors = [], []
    for row in going:
        own = {action: q[0] for action, q in qvalues((tiles[row], env.depth)).items()}
        best = values((tiles[row], env.depth))[0]
        regrets.append((best - own[int(found.action[row])]) / (1 + best))
        errors.append(abs(found.value[row] - best) / (1 + best))
    assert_nearly_optimal(policy, regrets, errors)


@pytest.mark.slow
def test_rollouts_weigh_the_outcomes_too():
    env = DiceRace(1, goal=4, limit=1)
    state = env.init(KEY)._replace(position=jnp.array([2]), legal_action_mask=jnp.ones(3, bool))
    states = jax.tree.map(lambda x: jnp.stack([x] * 64), state)
    model = rollout_model(describe(env))
    run = jax.jit(lambda: planned(SEARCH["gumbel"], model, None, KEY, states, num_simulations=60))
    found = run()
    # One ply is left: a throw arrives with 2 or 3 steps, a gamble with 3 alone and at a price.
    assert found.action.tolist() == [1] * 64
    np.testing.assert_allclose(found.qvalue, 0.5, atol=0.05)


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("num_players", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_self_play_searches_with_chance_nodes(num_players):
    env = DiceRace(num_players)
    config = tiny(env="tests.helpers.env_examples:DiceRace")
    algorithm = build_algorithm(env, config)
    assert algorithm.model.decide is not None
    games = start_games(env, config, KEY, 8)

    @jax.jit
    def play(games):
        return play_on(env, algorithm.model, config, algorithm.init(KEY), KEY, games)

    _, plies, metrics = play(games)
    assert metrics["games_finished_share"].total > 0
    assert plies.policy.shape == (config.plies, 8, 3)
    np.testing.assert_allclose(plies.policy.sum(axis=-1), 1, atol=1e-5)
    illegal = ~np.asarray(plies.position.legal_action_mask)
    assert (np.asarray(plies.policy)[illegal] == 0).all()
    assert metrics["evaluations_per_position"].total == config.plies * 8 * (1 + config.search.num_simulations)


def test_trees_of_chance_are_not_reused():
    config = tiny(env="dice", search=SearchSettings(reuse=True))
    with pytest.raises(ValueError, match="'dice' has explicit chance"):
        build_algorithm(DiceRace(), config)
