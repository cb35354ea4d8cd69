"""Settings that follow from an environment."""

import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import Strength
from jzero.look import Facts
from jzero.registry import make
from jzero.run import cli
from jzero.run import describe as estimate
from jzero.run.build import build
from jzero.run.cli import main
from jzero.run.config import RunConfig
from jzero.run.presets import preset, suited
from tests.helpers.env_examples import Aim, Dice, TwoPiles
from tests.helpers.tiny import REPOSITORY, TINY, child_environment, tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

BOARD = Facts(
    num_players=2,
    player_values=False,
    hides=False,
    chance=False,
    plies=40.0,
    longest=60,
    ended=True,
    largest_reward=1.0,
    largest_return=1.0,
    shapes=((8, 8, 3),),
)
ALONE = BOARD._replace(num_players=1, chance=True, largest_reward=1.0, largest_return=86.0, shapes=((4,),))


class Endless(Dice):
    """Whatever the sum, nobody stops."""

    def step(self, state, action, key):
        return (
            super().step(state, action, key).replace(terminated=jnp.bool_(False), truncated=jnp.bool_(False))
        )


class EndlessForTwo(TwoPiles):
    """Nobody takes anything."""

    def step(self, state, action, key):
        return state._replace(current_player=1 - state.current_player)


class Counting(Dice):
    """Shows a large number."""

    def observe(self, state):
        return {"total": state.total, "ply": 1000 * state.ply}


@dataclass(frozen=True)
class Broken(Dice):
    """Has a number that is none at its last ply."""

    number: float
    place: str

    def step(self, state, action, key):
        after = super().step(state, action, key)
        broken = jnp.where(after.ply == 3, self.number, after.rewards)
        return after.replace(rewards=broken) if self.place == "reward" else after

    def observe(self, state):
        number = jnp.where(state.ply == 3, self.number, 0) if self.place == "observation" else jnp.float32(0)
        return super().observe(state) | {"number": number}


@pytest.mark.parametrize("algorithm", ["alphazero", "muzero"])
@pytest.mark.parametrize(
    ("number", "place", "said"),
    [
        (math.nan, "reward", "a reward of 'broken' (nan)"),
        (-math.inf, "reward", "a reward of 'broken' (inf)"),
        (math.nan, "observation", "an observation of 'broken' (nan)"),
    ],
)
def test_numbers_of_an_environment_that_are_not_finite_are_refused(algorithm, number, place, said):
    told = f"{said} is not finite in random games, .*; `python -m jzero check broken` says at which ply$"
    with pytest.raises(ValueError, match=rf"^{told.replace('(', '[(]').replace(')', '[)]')}"):
        suited(algorithm)[algorithm]("broken", Broken(number, place))


def test_large_numbers_of_an_observation_are_told_of():
    with pytest.warns(UserWarning, match="an observation of 'counting' has the number 3,000, which hides"):
        suited("alphazero")["alphazero"]("counting", Counting())


def test_games_without_an_end_are_told_of_before_they_are_measured():
    with pytest.warns(UserWarning, match="no random game of 'endless' ended within 1,000 plies; let every"):
        assert suited("alphazero")["alphazero"]("endless", Endless()).train.env == "endless"
    with pytest.raises(
        ValueError, match=r"'for_two' ended within 1,000 plies; .* set `truncated` at a limit$"
    ):
        suited("muzero")["muzero"]("for_two", EndlessForTwo())


def test_alphazero_is_refused_where_actions_are_continuous():
    with pytest.raises(ValueError, match=r"those of 'aim' are vectors of 2; use algorithm 'gumbel_muzero'"):
        suited("alphazero")["alphazero"]("aim", Aim())


def test_a_board_game_gets_openings_and_one_with_chance_none():
    assert preset("x", BOARD).opening_plies == 8
    assert preset("x", BOARD._replace(plies=9.0)).opening_plies == 2
    assert preset("x", BOARD._replace(chance=True)).opening_plies == 0


def test_long_games_and_those_of_one_player_are_learned_from_before_they_end():
    assert preset("x", BOARD._replace(plies=32.0)).td_lookahead == 0
    assert preset("x", BOARD._replace(plies=33.0)).td_lookahead == 24
    assert preset("x", BOARD._replace(num_players=1)).td_lookahead == 24
    assert preset("x", BOARD._replace(plies=33.0, hides=True)).td_lookahead == 0
    assert preset("x", BOARD._replace(plies=33.0), "gumbel_muzero").td_lookahead == 0


@pytest.mark.parametrize("algorithm", ["alphazero", "gumbel_muzero", "efficientzero"])
@pytest.mark.parametrize("longest", [20, 120, 200, 300, 1000])
@pytest.mark.parametrize("kind", [{}, {"hides": True}, {"player_values": True, "num_players": 3}])
def test_no_position_of_a_long_game_is_lost(algorithm, longest, kind):
    facts = BOARD._replace(plies=min(20.0, longest), longest=longest, **kind)
    train = preset("x", facts, algorithm)
    assert (train.td_lookahead or 2 * longest) <= train.replay_plies
    assert train.replay_plies % train.plies == 0
    assert train.games * train.replay_plies <= 131_072


@pytest.mark.parametrize(
    ("plies", "games"), [(5, 512), (32, 512), (40, 256), (60, 256), (100, 128), (400, 128)]
)
def test_fewer_long_games_end_as_soon_and_the_replay_is_as_large(plies, games):
    train = preset("x", BOARD._replace(plies=float(plies)))
    assert train.games == games
    assert train.games * train.replay_plies == 131_072
    assert games * plies < 20_000 or games == 128


def test_hidden_information_gets_worlds():
    train = preset("x", BOARD._replace(num_players=4, player_values=True, hides=True, chance=True))
    assert train.search.worlds == 4
    assert train.temperature_plies > 60
    assert preset("x", BOARD).search.worlds == 1


@pytest.mark.parametrize(
    ("algorithm", "shapes", "kind"),
    [
        ("alphazero", ((6, 7, 2),), "mlp"),
        ("alphazero", ((19, 19, 17),), "mlp"),
        ("alphazero", ((19, 19, 60),), "resnet"),
        ("alphazero", ((52, 15), (4, 15), (13,)), "mlp"),
        ("gumbel_muzero", ((10, 10, 4),), "mlp"),
        ("efficientzero", ((96, 96, 4),), "atari"),
        ("muzero", ((84, 84, 4),), "resnet"),
    ],
)
def test_the_network_follows_from_what_is_seen(algorithm, shapes, kind):
    assert preset("x", BOARD._replace(shapes=shapes), algorithm).network.kind == kind


def test_large_boards_have_a_tower_where_convolutions_are_fast(monkeypatch):
    large = BOARD._replace(shapes=((19, 19, 17),))
    assert preset("x", large).network.kind == "mlp"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert preset("x", large).network.kind == "resnet"
    assert preset("x", BOARD).network.kind == "mlp"


@pytest.mark.parametrize("algorithm", ["gumbel_muzero", "muzero", "efficientzero", "efficientzero_v2"])
@pytest.mark.parametrize("reward", [0.3, 1.0, 7.0, 150.0])
def test_a_learned_value_reaches_the_largest_return_that_can_be(algorithm, reward):
    train = preset("x", ALONE._replace(largest_reward=reward), algorithm)
    assert (train.muzero.value_prefix, train.muzero.consistency_weight > 0) == (
        (algorithm.startswith("efficientzero"),) * 2
    )
    assert train.muzero.value_limit >= reward / (1 - train.discount) * 0.999
    assert train.muzero.reward_limit >= reward * (
        train.muzero.prefix_horizon if train.muzero.value_prefix else 1
    )
    assert train.algorithm == algorithm
    assert train.env == "x"
    assert train.discount < 1


def test_efficientzeros_versions_differ_in_the_value_target_of_one_player():
    first, second = (preset("x", ALONE, name) for name in ("efficientzero", "efficientzero_v2"))
    assert first.muzero.search_value_age == 0 < second.muzero.search_value_age
    # Younger positions than that must exist, and older ones.
    assert second.muzero.search_value_age < second.games * second.replay_plies
    assert replace(second.muzero, search_value_age=0) == first.muzero
    assert preset("x", BOARD, "efficientzero_v2").muzero == preset("x", BOARD, "efficientzero").muzero


def test_two_players_learn_from_the_end_of_the_game():
    train = preset("x", BOARD, "gumbel_muzero")
    assert (train.discount, train.muzero.td_steps, train.muzero.value_limit) == (1, 0, 1)


def test_alphazeros_values_reach_scores():
    assert preset("x", BOARD).network.value_limit == 1
    assert preset("x", BOARD._replace(largest_return=1.00001)).network.value_limit == 1
    train = preset("x", ALONE._replace(largest_reward=512.0, largest_return=3000.0))
    assert train.network.value_limit >= 512 / (1 - train.discount) * 0.999
    # An error of 1 on the scale h, which is about the square root, weighs as much whatever the limit is.
    assert train.value_weight == pytest.approx(0.02 * (20_000**0.5 + 20_000 * 0.001) ** 2, rel=0.02)
    assert train.search.rescale_values
    assert train.search.min_value_range == 512  # smaller differences are noise until rewards are learned
    assert preset("x", BOARD._replace(largest_return=3.0)).network.value_limit == 10


def test_the_experiments_algorithm_is_the_first_or_the_one_that_is_named():
    presets = suited("gumbel_muzero", "muzero")
    assert list(presets) == ["gumbel_muzero", "muzero"]
    run = presets["muzero"]("two_piles", TwoPiles())
    assert (run.train.algorithm, run.train.env, run.minutes) == ("muzero", "two_piles", RunConfig().minutes)


def test_options_override_what_follows_from_the_environment(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "set_up", lambda **_: None)  # the devices of this process are chosen
    seen = []

    def suit(name, env):
        seen.append((name, env))
        muzero = MuZeroSettings(td_steps=5)  # without it a return could not end with the network's value
        return RunConfig(train=replace(TINY, env=name, learning_rate=0.5, muzero=muzero))

    argv = [
        "--env",
        "tic_tac_toe?size",
        "--iterations",
        "1",
        "--games",
        "16",
        "--run-dir",
        str(tmp_path / "run"),
        "--muzero.bootstrap",
        "network",
    ]
    with pytest.raises(SystemExit, match=r"cannot read the option .size.; expected key=literal"):
        main("tiny", suit, lambda env: None, argv=argv)
    argv[1] = "tic_tac_toe"
    result = Strength("nothing", 0.5, 0.25, 0.75)
    assert main("tiny", suit, lambda env: lambda agent: result, argv=argv) == result
    assert seen == [("tic_tac_toe", TicTacToe())]
    with pytest.raises(SystemExit):
        main("tiny", suit, lambda env: None, argv=[*argv, "--gamse", "8"])
    assert "--games" in capsys.readouterr().err
    saved = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]
    assert (saved["games"], saved["learning_rate"], saved["env"]) == (16, 0.5, "tic_tac_toe")
    assert (saved["muzero"]["td_steps"], saved["muzero"]["bootstrap"]) == (5, "network")


def test_a_run_says_what_it_will_take(monkeypatch):
    config = tiny()
    env = make(config.env)

    def said_of(config, **options):
        algorithm, program = build(env, config)
        model, shapes = algorithm.model, program.abstract
        least = estimate.least_seconds(model, config, shapes)
        return estimate.describe(model, RunConfig(train=config, **options), shapes, least)

    def seconds(said):
        return float(said.partition("at least ")[2].split(" ")[0])

    said = said_of(config)
    assert said.startswith("alphazero in tic_tac_toe, 8 games side by side on ")
    assert re.search(r"replay of 144 positions \(0\.0\d+ MiB\)", said)
    kept = r"checkpoints of 0\.057 MiB on disk, the newest 2 with a replay of 0\.012 MiB \(--no-save-replay leaves"
    assert re.search(kept, said)
    assert "the newest with a replay of" in said_of(config, keep_newest=1)
    assert "checkpoints of 0.057 MiB on disk, seed" in said_of(config, save_replay=False)
    assert "an iteration plays 48 positions: at least " in said
    assert 0 < seconds(said) < 10
    assert re.search(r"mlp network of [\d,]+ parameters \(an", said)
    narrow = replace(config, network=replace(config.network, bf16=True))
    assert re.search(r"mlp network of [\d,]+ parameters in bfloat16 \(an", said_of(narrow))
    monkeypatch.setattr(estimate, "_flops_per_second", lambda: 1e6)  # a clock's noise aside
    longer = replace(config, plies=3 * config.plies, replay_plies=3 * config.replay_plies)
    assert seconds(said_of(longer)) == pytest.approx(3 * seconds(said_of(config)), rel=0.05)


def test_trees_and_replay_that_the_device_cannot_hold_are_refused(monkeypatch):
    config = tiny()
    env = make(config.env)
    algorithm, program = build(env, config)

    def with_room(size):
        devices = [SimpleNamespace(memory_stats=lambda: {"bytes_limit": size})]
        monkeypatch.setattr(estimate.jax, "local_devices", lambda: devices)
        estimate.check_memory(algorithm.model, config, program.abstract)

    with_room(2**30)
    with pytest.raises(
        ValueError,
        match=r"JAX has 0\.0098 MiB of memory per device, but search trees of \d+ games x \d+ nodes take "
        r".* MiB",
    ) as told:
        with_room(10 * 2**10)
    fitting = int(re.search(r"--games \(now 8; (\d) would fit\)", str(told.value))[1])
    assert fitting < 8


@pytest.mark.slow
@pytest.mark.parametrize("script", ["alphazero", "muzero", "efficientzero"])
def test_a_strangers_game_trains_by_its_name_alone(tmp_path, script):
    command = [sys.executable, f"experiments/{script}.py", "--env", "tests.helpers.env_examples:TwoPiles"]
    options = ["--iterations", "2", "--games", "16", "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(
        command + options,
        cwd=REPOSITORY,
        env=child_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith(
        "score in 100 games against tree search with 100 random rollouts"
    )
    saved = json.loads((tmp_path / "run" / "result.json").read_text())
    assert 0 <= saved["strength"]["value"] <= 1
