"""Alpha-beta against plain recursion, against the known values of tic-tac-toe, and where players move twice.

Heuristics are sums of small whole numbers over a power of two, so that they are exact and ties are common.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.connect_four import CELL_BIT, CELL_WORD, ConnectFour
from jzero_envs.tic_tac_toe import LINES, TicTacToe

from jzero.env import init_batch, keep_finished
from jzero.evaluate import play_match, random_player
from jzero.evaluate.minimax import minimax, minimax_player
from jzero.evaluate.turns import Turn
from tests.oracles import games as rules
from tests.oracles.minimax import move_values, plies_to_end

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
WEIGHTS = {
    rules.TicTacToe: np.array([[3, -2, 1], [0, 4, -1], [2, 1, -3]]),
    rules.ConnectFour: np.random.default_rng(0).integers(-4, 5, (6, 7)),
}
COPIES = 64
"""Rows of one position: each of its best moves is chosen in some of them."""


class PairsState(NamedTuple):
    board: jax.Array  # i8[9]: 1 player 0's stone, -1 player 1's
    ply: jax.Array
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Pairs:
    """Tic-tac-toe in which a turn is two stones, but for the first one; `max_plies` cuts it short."""

    num_actions, num_players = 9, 2
    movers = (0, 1, 1, 0, 0, 1, 1, 0, 0)

    def __init__(self, max_plies=9):
        self.max_plies = max_plies

    def init(self, key):
        no = jnp.bool_(False)
        return PairsState(
            jnp.zeros(9, jnp.int8), jnp.int32(0), jnp.int32(0), jnp.ones(9, bool), jnp.zeros(2), no, no
        )

    def step(self, state, action, key):
        stone = 1 - 2 * state.current_player
        board = state.board.at[action].set(stone.astype(jnp.int8))
        won = (board[LINES] == stone).all(axis=1).any()
        ply = state.ply + 1
        after = PairsState(
            board=board,
            ply=ply,
            current_player=jnp.array([*self.movers, 0])[ply],
            legal_action_mask=board == 0,
            rewards=jnp.where(won, stone * jnp.array([1.0, -1.0]), 0.0),
            terminated=won | (ply == 9),
            truncated=~won & (ply >= self.max_plies),
        )
        return keep_finished(state, after)

    def observe(self, state):
        return state.board


class PairsRules(rules.TicTacToe):
    max_plies = 9

    def stones(self):
        return sum(stone is not None for row in self.board for stone in row)

    def apply_action(self, action):
        super().apply_action(action)
        self.mover = (*Pairs.movers, 0)[self.stones()]

    def is_terminal(self):
        return super().is_terminal() or self.stones() >= self.max_plies


class ShortPairsRules(PairsRules):
    max_plies = 5


def tic_tac_toe_heuristic(state):
    return (state.board * WEIGHTS[rules.TicTacToe].ravel()).sum() / 64


def pairs_heuristic(state):
    return tic_tac_toe_heuristic(state) * (1 - 2 * state.current_player)


def connect_four_heuristic(state):
    bits = (state.stones[:, CELL_WORD] >> CELL_BIT) & 1
    stones = bits.astype(jnp.int32)
    return ((stones[0] - stones[1]) * WEIGHTS[rules.ConnectFour]).sum() / 128


def oracle_heuristic(position):
    game = rules.ConnectFour if isinstance(position, rules.ConnectFour) else rules.TicTacToe
    total, scale = 0, 128 if game is rules.ConnectFour else 64
    for stones, weights in zip(position.board, WEIGHTS[game], strict=True):
        for stone, weight in zip(stones, weights, strict=True):
            if stone is not None:
                total += weight if stone == position.current_player() else -weight
    return int(total) / scale


GAMES = {
    "tic_tac_toe": (TicTacToe(), rules.TicTacToe, tic_tac_toe_heuristic),
    "connect_four": (ConnectFour(), rules.ConnectFour, connect_four_heuristic),
    "pairs": (Pairs(), PairsRules, pairs_heuristic),
    "short_pairs": (Pairs(5), ShortPairsRules, pairs_heuristic),
}


def random_histories(game, count, seed):
    """Unfinished random games of different lengths; the first one is empty."""
    rng = np.random.default_rng(seed)
    histories = [[]]
    while len(histories) < count:
        position, history = game(), []
        for _ in range(rng.integers(1, 30)):
            action = int(rng.choice(position.legal_actions()))
            position.apply_action(action)
            if position.is_terminal():
                break
            history.append(action)
        histories.append(history)
    return histories


@partial(jax.jit, static_argnums=0)
def replay(env, moves):
    """The states [N] after moves i32[N, T], -1 meaning none."""

    def play(state, action):
        after = env.step(state, action, KEY)
        return jax.tree.map(lambda new, old: jnp.where(action >= 0, new, old), after, state), None

    return jax.vmap(lambda actions: jax.lax.scan(play, env.init(KEY), actions)[0])(moves)


def states_after(env, histories):
    moves = np.full((len(histories), 42), -1)
    for row, history in zip(moves, histories, strict=True):
        row[: len(history)] = history
    return replay(env, moves)


def search_copies(search, states, count, key=KEY):
    """Actions [N, COPIES] and the value [N] of each state, found `COPIES` times with other ties."""
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf, COPIES, axis=0), states)
    actions, values = (np.asarray(found).reshape(count, COPIES) for found in search(copies, key))
    assert (values == values[:, :1]).all()
    return actions, values[:, 0]


def assert_equals_oracle(game, depth, count, order=None):
    env, position, heuristic = GAMES[game]
    histories = random_histories(position, count, seed=depth)
    search = minimax(env, heuristic, depth, order)
    actions, values = search_copies(search, states_after(env, histories), count)
    ties = 0
    for row, history in enumerate(histories):
        expected = move_values(rules.replay(position, history), oracle_heuristic, depth)
        best = max(expected.values())
        assert values[row] == best
        assert set(actions[row]) == {action for action, value in expected.items() if value == best}
        ties += len(set(actions[row])) > 1
    return ties


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("game", ["tic_tac_toe", "connect_four"])
def test_values_and_best_moves_are_those_of_plain_recursion(game, depth):
    count = 24 if depth < 4 else 8
    assert assert_equals_oracle(game, depth, count) > 0  # ties


@pytest.mark.parametrize(("game", "depth"), [("pairs", 3), ("pairs", 4), ("short_pairs", 4)])
def test_players_who_move_twice_and_games_cut_short_are_searched_right(game, depth):
    assert_equals_oracle(game, depth, 24 if depth < 4 else 8)


@pytest.mark.parametrize(("game", "factor"), [("connect_four", 1), ("connect_four", -1), ("pairs", 3)])
def test_the_order_changes_neither_values_nor_best_moves(game, factor):
    def order(state):
        return (factor * jnp.arange(state.legal_action_mask.shape[0])) % 7

    assert_equals_oracle(game, 3, 12, order)


def test_a_good_order_visits_fewer_positions():
    # The states pushed or valued are counted by the heuristic; each call is one step of the loop.
    env, _, heuristic = GAMES["connect_four"]
    states = states_after(env, [[]])

    def count(order):
        calls = []

        def counted(state):
            jax.debug.callback(calls.append, state.current_player)
            return heuristic(state)

        jax.block_until_ready(minimax(env, counted, 3, order)(states, KEY))
        jax.effects_barrier()
        return len(calls)

    def greedy(state):
        after = jax.vmap(env.step, in_axes=(None, 0, None))(state, jnp.arange(7), KEY)
        return -jax.vmap(heuristic)(after)

    plain = sum(7**ply for ply in (1, 2, 3))
    assert count(greedy) < count(lambda state: -greedy(state)) < plain
    assert count(greedy) < plain / 3


def test_full_depth_tic_tac_toe_has_the_known_values():
    boards = [
        board
        for board in rules.tic_tac_toe_boards()
        if sum(stone is not None for stone in board) >= 4
        and not rules.tic_tac_toe_position(board).is_terminal()
    ]
    signs = np.array([[{None: 0, 0: 1, 1: -1}[stone] for stone in board] for board in boards])
    mover = signs.sum(axis=1)  # 1 if player 1 moves
    states = init_batch(TicTacToe(), KEY, len(boards))._replace(
        board=jnp.asarray(signs * (1 - 2 * mover)[:, None], jnp.int8),
        current_player=jnp.asarray(mover),
        legal_action_mask=jnp.asarray(signs == 0),
    )
    _, values = minimax(TicTacToe(), lambda state: jnp.float32(0.5), 9)(states, KEY)
    expected = [rules.tic_tac_toe_value(board) for board in boards]
    assert np.rint(values).tolist() == (np.array(expected) * (1 - 2 * mover)).tolist()


def test_tic_tac_toe_is_a_draw_from_the_first_move_on():
    _, values = minimax(TicTacToe(), tic_tac_toe_heuristic, 9)(states_after(TicTacToe(), [[]]), KEY)
    assert values.tolist() == [0]


def test_wins_come_soon_and_losses_late():
    # X at 0 and 1, O at 3 and 4: both would win at once. At 8 X only blocks O's diagonal.
    search = minimax(TicTacToe(), lambda state: jnp.float32(0.999999), 5)
    states = states_after(TicTacToe(), [[0, 3, 1, 4], [0, 4, 1], [0, 3, 1, 4, 8], [0, 1, 3]])
    actions, values = search(states, KEY)
    # X wins at once; O must stop row 0; O wins at once; O loses, but not before its own move is made.
    assert actions.tolist() == [2, 2, 5, 6]
    assert [plies_to_end(value) for value in (values[0], values[2], values[3])] == [1, 1, 4]
    assert values[0] > 0
    assert values[3] < 0


def test_a_win_is_worth_more_than_any_heuristic():
    for sure in (1.0, -1.0):
        search = minimax(TicTacToe(), lambda state, sure=sure: jnp.float32(sure), 2)
        actions, values = search(states_after(TicTacToe(), [[0, 3, 1, 4]]), KEY)
        assert actions.tolist() == [2]
        assert 0.9999 < values[0] < 1


def test_equal_moves_are_equally_likely_and_chosen_by_the_key():
    states = states_after(ConnectFour(), [[]] * 2100)
    search = minimax(ConnectFour(), lambda state: jnp.float32(0), 2, lambda state: jnp.arange(7))
    actions, _ = search(states, KEY)
    counts = np.bincount(actions, minlength=7)
    assert (np.abs(counts - 300) < 5 * np.sqrt(300)).all()
    assert actions.tolist() == search(states, KEY)[0].tolist()
    assert actions.tolist() != search(states, jax.random.key(1))[0].tolist()


def test_a_row_does_not_depend_on_the_others_and_finished_rows_are_left_alone():
    env, position, heuristic = GAMES["tic_tac_toe"]
    histories = [*random_histories(position, 5, seed=0), [0, 3, 1, 4, 2]]
    search = minimax(env, heuristic, 3)
    states = states_after(env, histories)
    _, values = search(states, KEY)
    assert values[-1] == 0
    for row in range(5):
        alone = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], states)
        assert search(alone, KEY)[1][0] == values[row]


def test_the_player_answers_turns_and_beats_random_play():
    player = minimax_player(ConnectFour(), lambda state: jnp.float32(0), 4)
    turn = Turn(
        states_after(ConnectFour(), [[3, 0, 3, 0, 3, 0]]), [[3, 0, 3, 0, 3, 0]], np.ones(1, bool), KEY
    )
    assert player(turn).tolist() == [3]
    result = play_match(ConnectFour(), player, random_player(ConnectFour()), num_games=10, key=KEY)
    assert result.wins >= 9


def test_arguments_that_make_no_sense_are_explained():
    with pytest.raises(ValueError, match="depth: expected a number of plies from 1 to 64, got 0"):
        minimax(TicTacToe(), tic_tac_toe_heuristic, 0)
    solo = Pairs()
    solo.num_players = 1
    with pytest.raises(ValueError, match="2 players, this one has 1"):
        minimax(solo, pairs_heuristic, 2)
