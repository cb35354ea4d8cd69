"""Value targets against outcomes and against a slow forward view; what is sampled, and how often.

Axes: T plies, B lanes, R plies of the ring.
"""

import functools

import jax
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe
from scipy import stats

from jzero import replay as replay_lib
from jzero.self_play import start_games
from tests.helpers import tiny
from tests.helpers.lanes import random_lane, transitions
from tests.helpers.rings import add
from tests.helpers.search_tables import quick_jit
from tests.oracles import games as rules
from tests.oracles import replay as oracle

sampled = quick_jit(
    lambda ring, key, number: replay_lib.taken(ring, replay_lib.draw(ring, key, number)), static_argnums=2
)
init_replay = quick_jit(replay_lib.init_replay, static_argnums=1)


def filled(lanes, capacity, plies_an_add, td_lambda=1.0, lookahead=None):
    """A ring after the lanes went in, `plies_an_add` plies at a time."""
    everything = transitions(lanes)
    ring = init_replay(jax.tree.map(lambda x: x[0], everything), capacity)
    for start in range(0, len(lanes[0]), plies_an_add):
        chunk = jax.tree.map(lambda x, start=start: x[start : start + plies_an_add], everything)
        ring = add(ring, chunk, td_lambda=td_lambda, lookahead=lookahead)
    return ring


def targets_by_id(ring):
    """{number of a ply: its value target} for what can be sampled, lane by lane."""
    capacity = ring.targets.shape[0]
    held = min(int(ring.head), capacity)
    found = {}
    for lane, ready in enumerate(np.asarray(ring.ready)):
        rows = (int(ring.head) - held + np.arange(ready)) % capacity
        ids, targets = np.asarray(ring.plies.position)[rows, lane], np.asarray(ring.targets)[rows, lane]
        found |= dict(zip(ids.tolist(), targets.tolist(), strict=True))
    return found


def random_tic_tac_toe_game(rng):
    """(plies, outcomes for the mover at each ply) of one game by the plain rules."""
    position, plies, movers = rules.TicTacToe(), [], []
    while not position.is_terminal():
        mover = position.current_player()
        position.apply_action(int(rng.choice(position.legal_actions())))
        over = position.is_terminal()
        noise = rng.normal(size=2).tolist()  # search values, which outcomes do not depend on
        plies.append(oracle.Ply(position.returns()[mover], -float(not over), over, False, False, *noise))
        movers.append(mover)
    return plies, [position.returns()[mover] for mover in movers]


def test_the_target_of_every_ply_of_a_game_is_its_outcome_for_the_mover():
    rng = np.random.default_rng(0)
    lanes, outcomes = [[] for _ in range(6)], [[] for _ in range(6)]
    for lane, outcome in zip(lanes, outcomes, strict=True):
        while len(lane) < 60:
            plies, result = random_tic_tac_toe_game(rng)
            lane += plies
            outcome += result
    lanes = [lane[:60] for lane in lanes]
    ring = filled(lanes, capacity=60, plies_an_add=6)
    found = targets_by_id(ring)
    expected = {
        1000 * number + ply: outcomes[number][ply]
        for number, lane in enumerate(lanes)
        for ply in oracle.plies_to_sample(lane, 60)
    }
    assert found == expected
    assert len(expected) > 300
    assert {-1.0, 0.0, 1.0} == set(expected.values())


@functools.cache
def player(**changes):
    """Compiled self-play of tic-tac-toe by a search that knows nothing, and its first games."""
    env, config = TicTacToe(), tiny.tiny(games=32, plies=4, **changes)
    model = tiny.simulator(env, tiny.uniform_apply)
    play = quick_jit(lambda key, games: tiny.play_on(env, model, config, None, key, games)[:2])
    return play, start_games(env, config, jax.random.key(5), config.games)


def recorded_lanes(**changes):
    """40 plies of self-play: the transitions [T, B] and the ring that got them four plies at a time."""
    play, games = player(**changes)
    ring, recorded = None, []
    for number in range(10):
        games, chunk = play(jax.random.key(number), games)
        if ring is None:
            ring = init_replay(jax.tree.map(lambda x: x[0], chunk), 40)
        ring = add(ring, chunk, td_lambda=1.0)
        recorded.append(chunk)
    return jax.tree.map(lambda *x: np.concatenate(x), *recorded), ring


def last_result(board):
    """What the mover earns by ending the game at `board` i8[9] now: a full board draws if no line is made."""
    position = rules.tic_tac_toe_position(
        tuple(
            None if s == 0 else 0 if s * (-1) ** np.count_nonzero(board) == 1 else 1 for s in board.tolist()
        )
    )
    mover = position.current_player()
    results = set()
    for action in position.legal_actions():
        after = rules.tic_tac_toe_position(rules.board_of(position))
        after.apply_action(action)
        if after.is_terminal():
            results.add(after.returns()[mover])
    (result,) = results
    return result


def test_self_play_into_the_ring_gives_the_outcome_to_every_ply():
    recorded, ring = recorded_lanes(opening_plies=0)
    checked = []
    for lane in range(32):
        ends = np.flatnonzero(recorded.ended[:, lane])
        assert int(ring.ready[lane]) == ends[-1] + 1
        for start, end in zip(np.append(0, ends[:-1] + 1), ends, strict=True):
            boards = recorded.position.board[start : end + 1, lane]
            assert [np.count_nonzero(board) for board in boards] == list(range(len(boards)))
            result = last_result(boards[-1])
            expected = [result * (-1) ** (end - ply) for ply in range(start, end + 1)]
            assert np.asarray(ring.targets)[start : end + 1, lane].tolist() == expected
            checked += expected
    assert len(checked) > 900
    assert {-1.0, 1.0} <= set(checked)


def test_random_moves_of_self_play_cut_the_return_at_the_search_value():
    recorded, ring = recorded_lanes(opening_plies=4, random_move_fraction=0.2)
    names = oracle.Ply._fields
    cut = 0
    for lane in range(32):
        columns = [getattr(recorded, name)[:, lane].tolist() for name in names]
        plies = [oracle.Ply(*ply) for ply in zip(*columns, strict=True)]
        for index in oracle.plies_to_sample(plies, 40):
            found = float(ring.targets[index, lane])
            np.testing.assert_allclose(found, oracle.lambda_return(plies, index, 1.0), atol=1e-6)
            if plies[index].explored:
                assert found == plies[index].value
                cut += 1
    assert cut > 200


def test_a_random_move_hides_what_came_after_it():
    values = [0.1, 0.2, 0.3, 0.4]
    lane = [oracle.Ply(0.0, -1.0, False, False, False, value, 9.0) for value in values]
    lane[1] = lane[1]._replace(explored=True)
    lane[3] = lane[3]._replace(reward=1.0, discount=0.0, ended=True)
    found = targets_by_id(filled([lane], capacity=4, plies_an_add=4))
    np.testing.assert_allclose([found[ply] for ply in range(4)], [-0.2, 0.2, -1.0, 1.0])


def test_a_truncated_game_ends_with_the_search_value_of_its_last_action():
    lane = [oracle.Ply(0.0, -1.0, False, False, False, 9.0, 0.5) for _ in range(3)]
    lane[2] = lane[2]._replace(ended=True, truncated=True, reward=7.0, qvalue=0.25)
    found = targets_by_id(filled([lane], capacity=3, plies_an_add=3))
    assert [found[ply] for ply in range(3)] == [0.25, -0.25, 0.25]


@pytest.mark.parametrize("td_lambda", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("length", [12, 24, 64])
def test_targets_are_the_mean_of_all_n_step_returns(td_lambda, length):
    rng = np.random.default_rng(length)
    lanes = [random_lane(rng, length) for _ in range(16)]
    ring = filled(lanes, capacity=24, plies_an_add=4, td_lambda=td_lambda)  # 64 plies overwrite the oldest 40
    expected = {
        1000 * number + ply: oracle.lambda_return(lane, ply, td_lambda)
        for number, lane in enumerate(lanes)
        for ply in oracle.plies_to_sample(lane, 24)
    }
    found = targets_by_id(ring)
    assert found.keys() == expected.keys()
    assert len(found) > 8 * 16
    np.testing.assert_allclose(
        [found[key] for key in expected], list(expected.values()), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("td_lambda", [0.0, 0.8, 1.0])
def test_a_game_in_progress_is_learned_from_as_if_it_were_cut_short_now(td_lambda):
    rng = np.random.default_rng(3)
    lanes = [random_lane(rng, 40, mean_length=16) for _ in range(16)]
    in_progress = [not lane[-1].ended for lane in lanes]
    ring = filled(lanes, capacity=24, plies_an_add=8, td_lambda=td_lambda, lookahead=5)
    expected = {}
    for number, lane in enumerate(lanes):
        cut = [*lane[:-1], lane[-1]._replace(ended=True, truncated=True)] if in_progress[number] else lane
        for ply in sorted({*oracle.plies_to_sample(lane, 24), *range(40 - 24, 40 - 5)}):
            expected[1000 * number + ply] = oracle.lambda_return(cut, ply, td_lambda)
    found = targets_by_id(ring)
    assert found.keys() == expected.keys()
    assert sum(in_progress) > 8
    np.testing.assert_allclose(
        [found[key] for key in expected], list(expected.values()), rtol=1e-5, atol=1e-5
    )


def test_no_target_depends_on_another_game():
    rng = np.random.default_rng(1)
    lane = random_lane(rng, 24)
    end = next(index for index in range(10, 24) if lane[index].ended)
    other = lane[: end + 1] + random_lane(rng, 23 - end)
    one, two = (targets_by_id(filled([plies], 24, 4, td_lambda=0.9)) for plies in (lane, other))
    assert all(one[ply] == two[ply] for ply in range(end + 1))
    assert any(one.get(ply) != two.get(ply) for ply in range(end + 1, 24))


def test_only_games_that_have_ended_are_sampled_and_all_parts_of_a_sample_belong_together():
    rng = np.random.default_rng(2)
    lanes = [random_lane(rng, 40, mean_length=12) for _ in range(15)]
    lanes.append([ply._replace(ended=False, truncated=False) for ply in lanes[0]])  # one endless game
    ring = filled(lanes, capacity=24, plies_an_add=8, td_lambda=0.5)
    batch = jax.tree.map(np.asarray, sampled(ring, jax.random.key(0), 20_000))
    kept = batch.weight > 0
    ids = batch.position[kept]
    allowed = {
        1000 * number + ply for number, lane in enumerate(lanes) for ply in oracle.plies_to_sample(lane, 24)
    }
    assert set(ids.tolist()) == allowed
    endless = {number for number, lane in enumerate(lanes) if not oracle.plies_to_sample(lane, 24)}
    assert set((batch.position[~kept] // 1000).tolist()) == endless
    np.testing.assert_allclose((~kept).mean(), len(endless) / 16, atol=0.02)
    expected = targets_by_id(ring)
    assert batch.value[kept].tolist() == [expected[number] for number in ids.tolist()]
    np.testing.assert_array_equal(batch.policy, batch.position[:, None] + np.array([0.25, 0.5]))
    np.testing.assert_array_equal(batch.policy_weight, batch.position % 2)


def test_an_empty_ring_gives_samples_without_weight():
    lanes = [random_lane(np.random.default_rng(0), 4, mean_length=1e9)] * 2
    ring = init_replay(jax.tree.map(lambda x: x[0], transitions(lanes)), 12)
    assert not np.asarray(sampled(ring, jax.random.key(0), 50).weight).any()
    assert not np.asarray(sampled(filled(lanes, 12, 4), jax.random.key(0), 50).weight).any()


def test_lanes_and_then_their_plies_are_drawn_uniformly():
    lengths = [4, 10, 20, 24]  # of the part that has ended
    never = oracle.Ply(0.0, -1.0, False, False, False, 0.0, 0.0)
    lanes = [[never] * (n - 1) + [never._replace(ended=True)] + [never] * (24 - n) for n in lengths]
    ring = filled([lane[12:] + lane for lane in lanes], capacity=24, plies_an_add=12)  # wrapped by half
    samples = 20_000
    batch = sampled(ring, jax.random.key(1), samples)
    ids, counts = np.unique(np.asarray(batch.position), return_counts=True)
    # Ages count from the ring's oldest ply, which is number 12 of each lane.
    expected = {1000 * lane + 12 + ply: samples / 4 / n for lane, n in enumerate(lengths) for ply in range(n)}
    assert ids.tolist() == sorted(expected)
    assert stats.chisquare(counts, [expected[i] for i in ids.tolist()]).pvalue > 1e-4
    other = np.asarray(sampled(ring, jax.random.key(2), samples).position)
    assert (other != np.asarray(batch.position)).mean() > 0.9


def test_a_running_game_waits_in_the_ring_until_it_ends():
    never = oracle.Ply(0.0, -1.0, False, False, False, 0.0, 0.0)
    lane = [never] * 10 + [never._replace(ended=True, reward=1.0, discount=0.0)] + [never]
    assert [int(filled([lane[:plies]], 16, 4).ready[0]) for plies in (4, 8, 12)] == [0, 0, 11]
    found = targets_by_id(filled([lane], 16, 4))
    assert [found[ply] for ply in range(11)] == [(-1.0) ** ply for ply in range(11)]
    # In a ring that is shorter than the game, what is left of it is still right.
    assert targets_by_id(filled([lane], 8, 4)) == {ply: (-1.0) ** ply for ply in range(4, 11)}


def test_positions_that_leave_the_ring_before_their_game_has_ended_are_counted():
    never = oracle.Ply(0.0, -1.0, False, False, False, 0.0, 0.0)
    lane = [never] * 10 + [never._replace(ended=True, reward=1.0, discount=0.0)] + [never]
    for capacity, gone in ((8, [0, 8, 0]), (12, [0, 0, 0])):  # of two lanes; ready after the last: all
        rings = [filled([lane[:plies]] * 2, capacity, 4) for plies in (4, 8, 12)]
        assert [float(replay_lib.lost(ring, 4)) for ring in rings] == gone
    assert float(replay_lib.lost(filled([lane[:8]], 8, 4, lookahead=3), 4)) == 0
    assert float(replay_lib.lost(filled([lane[:8]], 8, 4, lookahead=6), 4)) == 2
