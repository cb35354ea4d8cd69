"""The opponents for Quoridor: ways against plain search, moves that must be found, OpenSpiel's numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from jzero_envs.quoridor import Quoridor

from experiments.players import quoridor as players
from jzero.evaluate import Turn, play_match, random_player
from jzero.evaluate.minimax import minimax
from tests.helpers.playing import Batched
from tests.oracles.minimax import move_values
from tests.oracles.quoridor import Quoridor as Oracle

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
SMALL = Quoridor(size=5, walls=3)


def random_positions(env, num_games, seed):
    """Yields (history, oracle's position, state) along random games with few walls, as long as they last."""
    batched = Batched(env)
    rng = np.random.default_rng(seed)
    states = batched.init(num_games)
    games = [([], Oracle(env.size, env.walls)) for _ in range(num_games)]
    while games:
        actions = []
        for lane, (history, position) in enumerate(games):
            state = jax.tree.map(lambda leaf, lane=lane: leaf[lane], states)
            yield list(history), position, state
            legal = np.flatnonzero(state.legal_action_mask)
            walks = legal[legal < env.size**2]
            actions.append(int(rng.choice(walks if rng.random() < 0.7 else legal)))
        states = batched.step(states, np.array(actions))
        for (history, position), action in zip(games, actions, strict=True):
            position.apply_action(drawn(env, position, action))
            history.append(action)
        # A game leaves with the first one that ends: all have had many plies by then.
        if states.terminated.any() or states.truncated.any():
            return


def drawn(env, position, action):
    """The action on the board with player 0 at the bottom."""
    return int(env.turn[action]) if position.mover else action


def stacked(states):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def turn_of(states, histories=None):
    rows = len(states.terminated)
    return Turn(states, histories or [[]] * rows, np.ones(rows, bool), KEY)


def position_of(pawns, walls_left, player, env=SMALL):
    """A state without walls, given as player 0 sees it, for player 1 too: the best moves are the same."""
    pawns, left = np.array(pawns), np.array(walls_left)
    if player:
        pawns, left = env.size**2 - 1 - pawns[::-1], left[::-1]
    walls = np.zeros((2, env.size - 1, env.size - 1), bool)
    return env.position(walls=walls, pawns=pawns, walls_left=left, current_player=player, ply=player)


@pytest.mark.parametrize(("size", "walls", "games"), [(3, 2, 12), (5, 3, 8), (7, 8, 2)])
def test_distances_are_those_of_a_plain_search(size, walls, games):
    env = Quoridor(size=size, walls=walls)
    positions, states = [], []
    for _, position, state in random_positions(env, games, seed=size):
        positions.append(
            [position.distance(position.pawns[p], p) for p in (position.mover, 1 - position.mover)]
        )
        states.append(state)
    found = jax.jit(jax.vmap(partial(players.distances, env)))(stacked(states))
    assert len(states) > 20
    assert found.tolist() == positions


def test_the_greedy_player_takes_the_shortest_way():
    act = jax.jit(partial(players.greedy_action, SMALL))
    shortened = 0
    for number, (_, position, state) in enumerate(random_positions(SMALL, 12, seed=1)):
        action = int(act(state, jax.random.key(number)))
        assert state.legal_action_mask[action]
        mover, before = position.mover, position.distance(position.pawns[position.mover], position.mover)
        chosen = divmod(drawn(SMALL, position, action), 5)
        lengths = {cell: position.distance(cell, mover) for cell in position.walks()}
        assert lengths[chosen] == min(lengths.values())
        (r, c), (other_r, other_c) = position.pawns
        if abs(r - other_r) + abs(c - other_c) > 1:
            assert lengths[chosen] == before - 1
            shortened += 1
    assert shortened > 30


def test_the_greedy_player_chooses_among_equal_ways_at_random():
    # The opponent stands before the mover on its goal row: both cells beside it are reached.
    states = stacked([position_of([7, 2], [0, 0], 0)] * 64)
    assert set(players.greedy(SMALL)(turn_of(states)).tolist()) == {1, 3}


def test_minimax_finds_wins_in_one_and_in_three_plies_and_walls_the_opponent_off():
    # One step; two steps while the opponent needs three; a jump over the opponent; in both seats.
    states = [
        position_of(*place, player)
        for player in (0, 1)
        for place in (([6, 18], [3, 3]), ([10, 8], [0, 0]), ([12, 7], [0, 0]))
    ]
    # The opponent needs one step and the mover three: running loses.
    states.append(position_of([12, 16], [3, 0], 0))
    states = stacked(states)
    search = minimax(SMALL, partial(players.heuristic, SMALL), 4, partial(players.order, SMALL))
    actions, values = search(states, KEY)
    assert actions[:6].tolist() == [1, 5, 2] * 2
    assert np.round((1 - np.asarray(values[:6])) * 2**20).tolist() == [1, 3, 1] * 2
    assert actions[6] >= 25
    assert abs(values[6]) < 0.9


def test_minimax_equals_plain_recursion():
    env = Quoridor(size=3, walls=1)

    def heuristic(position):
        own, other = position.mover, 1 - position.mover
        lead = position.distance(position.pawns[other], other) - position.distance(position.pawns[own], own)
        return (lead + (position.left[own] - position.left[other]) / 100) / (9 + 1 / 100)

    search = minimax(env, partial(players.heuristic, env), 3, partial(players.order, env))
    histories, expected, states = [], [], []
    for history, position, state in random_positions(env, 8, seed=0):
        values = move_values(position, heuristic, 3)
        histories.append(history)
        expected.append({a: values[drawn(env, position, a)] for a in np.flatnonzero(state.legal_action_mask)})
        states.append(state)
    actions, values = search(stacked(states), KEY)
    for action, value, moves in zip(actions, values, expected, strict=True):
        assert value == pytest.approx(max(moves.values()), abs=1e-6)
        assert moves[int(action)] == pytest.approx(max(moves.values()), abs=1e-6)


def test_the_heuristic_stays_within_its_bounds():
    for walls in (0, 3, 2000):
        env = Quoridor(size=5, walls=walls)
        # The opponent on its goal's neighbour, and the other way round, with all walls on one side.
        for pawns, left in (([5, 5], [walls, 0]), ([19, 19], [0, walls])):
            state = position_of(pawns, left, 0, env)
            assert -1 < float(players.heuristic(env, state)) < 1


@pytest.mark.parametrize(("size", "walls", "games"), [(3, 2, 8), (5, 3, 8)])
def test_histories_lead_to_the_same_position_in_openspiel(size, walls, games):
    env = Quoridor(size=size, walls=walls)
    game = pyspiel.load_game(f"quoridor(board_size={size},wall_count={walls})")
    compared = jumps = 0
    for seed in range(3):
        for history, position, state in random_positions(env, games, seed):
            other = game.new_initial_state()
            for action in players.open_spiel_actions(env, history):
                other.apply_action(action)
            assert other.current_player() == state.current_player
            planes = np.array(other.observation_tensor(0)).reshape(5, 2 * size - 1, 2 * size - 1)
            for player in (0, 1):
                row, column = np.argwhere(planes[player])[0] // 2
                assert position.pawns[player] == (row, column)
                assert planes[3 + player, 0, 0] == position.left[player]
            legal = np.flatnonzero(state.legal_action_mask)
            ids = [players.open_spiel_actions(env, [*history, action])[-1] for action in legal]
            assert sorted(ids) == other.legal_actions()
            (r, c), (other_r, other_c) = position.pawns
            jumps += abs(r - other_r) + abs(c - other_c) == 1
            compared += 1
    assert compared > 40
    assert jumps > 5


def test_mcts_finds_the_last_step_from_either_side():
    # Both walk past each other; then the mover is one step away from its goal.
    opening = [21, 21, 16, 16, 11, 11, 6, 6]
    states, histories = [], []
    for history in (opening, [*opening, 7]):
        state = SMALL.init(KEY)
        for action in history:
            assert state.legal_action_mask[action]
            state = SMALL.step(state, jnp.int32(action), KEY)
        states.append(jax.tree.map(np.asarray, state))
        histories.append(history)
    assert [int(state.current_player) for state in states] == [0, 1]
    actions = players.mcts(SMALL, 300)(turn_of(stacked(states), histories))
    assert (actions < 5).all()


def test_every_opponent_plays_legally_and_beats_random_play():
    opponents = {
        "greedy": players.greedy(SMALL),
        "minimax": players.minimax(SMALL, 2),
        "mcts": players.mcts(SMALL, 50),
    }
    for name, player in opponents.items():
        result = play_match(SMALL, player, random_player(SMALL), num_games=10, key=KEY, opening_plies=(0, 4))
        assert result.score >= 0.7, name


def test_a_pawn_move_that_shortens_the_way_is_tried_first():
    state = position_of([22, 2], [3, 3], 0)
    priorities = players.order(SMALL, state)
    legal = jnp.where(state.legal_action_mask, priorities, -jnp.inf)
    assert int(legal.argmax()) == 17
    assert bool((priorities[:25] >= 0).all())
    assert bool((priorities[25:] < 0).all())


def test_minimax_looks_less_far_ahead_on_large_boards():
    assert [players.default_depth(Quoridor(size=size)) for size in (3, 5, 7, 9)] == [4, 4, 2, 2]
