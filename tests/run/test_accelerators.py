"""What presets become on an accelerator: more games, and every position learned from as often as before."""

from dataclasses import replace

import pytest

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.models.plan import SearchSettings
from jzero.run.accelerators import ROWS, in_bfloat16, widened
from jzero.run.config import TrainConfig


@pytest.mark.parametrize(("games", "worlds"), [(16, 1), (256, 1), (512, 1), (256, 4), (300, 1), (8192, 1)])
def test_positions_are_learned_from_as_often_in_batches_that_fill_the_network(games, worlds):
    train = TrainConfig(games=games, search=SearchSettings(worlds=worlds), plies=8, replay_plies=64)
    wide = widened(train)

    def samples_per_position(train):
        return train.batch_size * train.updates / (train.games * train.plies)

    assert samples_per_position(wide) == pytest.approx(samples_per_position(train))
    assert wide.games * worlds >= min(ROWS, 16 * games)
    assert wide.games < 2 * ROWS or wide.games == games
    assert wide.batch_size <= 4 * train.batch_size
    assert wide.replay_plies == 64  # whole games must fit


def test_a_replay_of_games_in_progress_grows_four_times_at_most():
    train = TrainConfig(games=256, plies=8, replay_plies=512, td_lookahead=24)
    assert widened(train).replay_plies == 512 // 4
    short = replace(train, replay_plies=32)
    assert widened(short).replay_plies == 32, "24 later plies, in whole iterations"
    muzero = MuZeroSettings(td_steps=10, unroll_steps=5)
    learned = replace(train, algorithm="gumbel_muzero", td_lookahead=0, muzero=muzero)
    assert widened(learned).replay_plies == 512 // 4
    whole_games = replace(learned, muzero=MuZeroSettings(td_steps=0))
    assert widened(whole_games).replay_plies == 512


def test_networks_compute_in_bfloat16():
    assert in_bfloat16(TrainConfig()).network.bf16
