"""A run that ends by itself: what it leaves, says and measures."""

import dataclasses
import itertools
import math
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import env_spec
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import TimedMeasure, not_measured
from jzero.evaluate.record import record_games
from jzero.metrics import Mean
from jzero.registry import make
from jzero.run import loop as run_lib
from jzero.run import samples, stopwatch
from jzero.run.advice import Advice
from jzero.run.build import NOTHING, build_algorithm
from jzero.run.loop import Run, Strength
from jzero.run.speeds import speeds
from jzero.show.report import write_report
from jzero.storage.files import read_json, to_json
from jzero.storage.run_dir import read_metrics
from tests.helpers.tiny import TINY, same_bits, tiny
from tests.helpers.training import (
    lines,
    nothing,
    saved,
    settings,
    train,
)

pytestmark = pytest.mark.usefixtures("quick_compilation", "quick_runs")


def test_a_run_leaves_everything_that_a_reader_needs(reference, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_lib, "write_report", write_report)
    monkeypatch.setattr(samples, "record_games", record_games)
    path = tmp_path / "run"
    state = train(settings(path, 6))
    assert {entry.name for entry in path.iterdir()} == {
        *("lock", "config.json", "metrics.jsonl", "checkpoints"),
        *("games.json", "report.html", "result.json"),
    }
    assert int(state.iteration) == 6
    iteration, found = saved(path)
    assert iteration == 6
    assert same_bits(found["state"], state)
    result = read_json(path / "result.json")
    strength = {"name": "nothing", "value": 0.5, "low": 0.25, "high": 0.75, "unit": "", "parts": []}
    assert result["strength"] == strength
    assert (result["iterations"], result["positions"], result["updates"]) == (6, 6 * 8 * 6, 10)
    assert read_json(path / "config.json")["config"]["train"] == to_json(TINY)
    games = read_json(path / "games.json")["games"]
    assert games
    for game in games:
        assert len(game["actions"]) == len(game["values"]) >= 5
    assert (path / "report.html").read_text().startswith("<!doctype html>")
    # The same seed gives the same run, to the bit.
    assert same_bits(state, reference(6)[1])
    assert lines(path) == lines(reference(6)[0])


def test_the_memory_is_said_before_it_is_taken(tmp_path, monkeypatch, capsys):
    def full():
        raise MemoryError

    algorithm, program = run_lib.build(make(TINY.env), TINY, parts=NOTHING)
    built = algorithm, program._replace(init=full)
    monkeypatch.setattr(run_lib, "build", lambda env, config, parts: built)
    with pytest.raises(MemoryError):
        Run("tiny", make(TINY.env), settings(tmp_path / "run"))
    *_, said, place, _ = capsys.readouterr().out.splitlines()
    assert re.match(r"tiny: .*replay of 144 positions \(0\.0\d+ MiB\)", said)
    assert place == f"run directory: {tmp_path / 'run'}"


def test_metrics_have_a_line_an_iteration(reference):
    path, _ = reference(6)
    metrics = read_metrics(path)
    assert [line["iteration"] for line in metrics] == list(range(1, 7))
    assert [line["positions"] for line in metrics] == [48 * n for n in range(1, 7)]
    # One iteration of warm-up, then two updates each.
    assert [line["updates"] for line in metrics] == [0, 2, 4, 6, 8, 10]
    assert ["loss" in line for line in metrics] == [False] + [True] * 5
    assert ["updates_per_second" in line for line in metrics] == [False] + [True] * 5
    assert not any("updates_averaged" in line for line in metrics)
    assert [line["evaluations"] for line in metrics] == [48 * 5 * n for n in range(1, 7)]
    ended = [round(line["games_finished_share"] * 48) for line in metrics]
    assert [line["games"] for line in metrics] == np.cumsum(ended).tolist()
    assert ended[-1] > 0
    # Measured at once, then not for a long time.
    assert ["strength" in line for line in metrics] == [True] + [False] * 5
    seconds = [line["seconds"] for line in metrics]
    assert seconds == sorted(seconds)
    for line in metrics:
        assert all(math.isfinite(value) for value in line.values())
        rates = line["evaluations_per_second"] / line["positions_per_second"] * line["self_play_share"]
        np.testing.assert_allclose(rates, 5, rtol=1e-3)  # four simulations and the root


def test_measurements_come_in_their_interval_and_the_final_one_at_the_end(tmp_path, capsys):
    asked = []
    config = settings(tmp_path / "run", 3, evaluate_every=1e-6)
    final = Strength("the end", 0.25, 0.125, 0.5, "points")
    train(config, lambda agent: asked.append(agent) or nothing(agent), lambda agent: final)
    assert ["strength" in line for line in read_metrics(tmp_path / "run")] == [True] * 3
    assert len(asked) == 3
    assert read_json(tmp_path / "run" / "result.json")["strength"]["name"] == "the end"
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("[")]
    *_, first, second, third, took, speed, report, last = lines
    assert last == "the end: 0.250 [0.125, 0.500] points"
    assert report.startswith("report: ")
    assert re.fullmatch(r"final measurement: \d+ s", took)
    rates = r"median speeds: \S+ positions/s, \S+ evaluations/s, \S+ updates/s"
    assert re.fullmatch(rates + r", \d+% of the time is self-play, \d+% learning", speed)
    for line, positions in ((first, 48), (second, 96), (third, 144)):
        assert re.fullmatch(rf"\d+ s, {positions} positions: nothing: 0.500 \[0.250, 0.750\]", line)


def test_compiling_does_not_count(tmp_path, monkeypatch):
    """What runs for the first time takes a minute, later a second, by a clock that stands still otherwise."""
    clock, ran = [0], set()

    def takes(name, function):
        def slowed(*arguments):
            clock[0] += 1 if name in ran else 60
            ran.add(name)
            return function(*arguments)

        return slowed

    def slow_down(run):
        play, learn = takes("play", run.program.play), takes("learn", run.program.learn)
        run.program = run.program._replace(play=play, learn=learn)

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    config = settings(tmp_path / "run", None, minutes=5 / 60)
    state = train(config, takes("measure", nothing), prepare=slow_down)
    metrics = read_metrics(tmp_path / "run")
    assert [line["seconds"] for line in metrics] == [0, 1, 3, 5]
    assert ["strength" in line for line in metrics] == [True, False, False, False]
    assert int(state.iteration) == 4


def test_what_makes_the_first_update_come_soon_is_said_at_once(tmp_path, monkeypatch, capsys):
    clock = [0]

    def slow_down(run):
        def play(state, progress):
            clock[0] += 30
            return program.play(state, progress)

        def learn(state, progress):
            clock[0] += 1
            return program.learn(state, progress)

        program = run.program
        run.program = program._replace(play=play, learn=learn)

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    slow = tiny(warmup_iterations=3)
    train(settings(tmp_path / "run", 6, minutes=10, train=slow), prepare=slow_down)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "LITTLE TIME" in line]
    assert said.endswith(
        "the first update comes after 4 iterations, 2 min of this run's 10 min; use --minutes 20 or "
        "--games 4 (now 8)"
    )
    monkeypatch.setattr(run_lib, "least_seconds", lambda *_: 30.0)
    with Run("tiny", make(slow.env), settings(tmp_path / "other", 6, minutes=10, train=slow)):
        *_, said, _ = capsys.readouterr().out.splitlines()
    assert "LITTLE TIME" in said
    train(settings(tmp_path / "soon", 6, minutes=60, train=tiny(warmup_iterations=0)), prepare=slow_down)
    assert "LITTLE TIME" not in capsys.readouterr().out.partition("soon")[2]


def test_every_measurement_writes_the_report_also_one_that_gives_no_strength(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        run_lib, "write_report", lambda path, env, **_: written.append(len(read_metrics(path)))
    )
    config = settings(tmp_path / "run", 3, evaluate_every=1e-6)
    train(config, TimedMeasure(lambda agent, seconds: not_measured(seconds)))
    assert written == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("recorded", "about"),
    [
        (True, {"draws": True, "num_players": 2}),
        (False, {"num_players": 2}),
        (True, {}),
        (True, {"action_size": 2}),
        (False, {"external": True}),
    ],
)
def test_games_are_recorded_that_the_report_can_show(recorded, about, monkeypatch):
    plain = {"draws": False, "num_players": 1, "action_size": 0, "external": False}
    spec = SimpleNamespace(**(plain | about))
    monkeypatch.setattr(samples, "describe", lambda env: spec)
    written = []
    folder = SimpleNamespace(write_json=lambda name, games: written.append(name))
    samples.record_samples(folder, SimpleNamespace(env=None), seed=0, seconds=1.0)
    assert written == ["games.json"] * recorded


@pytest.mark.parametrize(("minutes", "seconds"), [(3, 18), (60, 360)])
def test_the_final_measurement_gets_a_tenth_of_the_time_and_what_is_left(tmp_path, minutes, seconds):
    asked = []

    def within(agent, seconds):
        asked.append(seconds)
        return not_measured(seconds)

    measure = TimedMeasure(within)
    strength = []

    def prepare(run):
        finish = run._finish
        run._finish = lambda *arguments: strength.append(finish(*arguments))

    train(settings(tmp_path / "run", 2, minutes=minutes), measure, measure, prepare=prepare)
    meanwhile, last = asked
    assert meanwhile == pytest.approx(minutes * 2)
    assert seconds <= last <= 2 * seconds
    assert math.isnan(strength[0].value)
    assert not any("strength" in line for line in read_metrics(tmp_path / "run"))
    assert read_json(tmp_path / "run" / "result.json")["strength"]["value"] is None


def test_a_final_measurement_gets_the_share_that_it_asks_for(tmp_path):
    asked = []

    def within(agent, seconds):
        asked.append(seconds)
        return not_measured(seconds)

    nothing = TimedMeasure(lambda agent, seconds: not_measured(seconds))
    train(settings(tmp_path / "run", 1, minutes=10), nothing, TimedMeasure(within, share=0.5))
    assert asked == [300]


def test_speeds_are_by_the_time_of_what_they_count(tmp_path, monkeypatch):
    """Self-play takes three seconds, the updates two, by a clock that stands still otherwise."""
    clock = [0]

    def takes(seconds, function):
        def slowed(state, progress):
            clock[0] += seconds
            return function(state, progress)

        return slowed

    def slow_down(run):
        run.program = run.program._replace(play=takes(3, run.program.play), learn=takes(2, run.program.learn))

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    train(settings(tmp_path / "run", 2), prepare=slow_down)
    warmup, line = read_metrics(tmp_path / "run")
    assert warmup["positions_per_second"] == 8 * 6 / 3
    assert warmup["self_play_share"] == 1
    assert line["positions_per_second"] == 8 * 6 / 5
    assert line["evaluations_per_second"] == 8 * 6 * 5 / 3
    assert line["updates_per_second"] == 2 / 2
    assert line["self_play_share"] == 3 / 5


def test_positions_searched_again_are_counted_on_each_device():
    muzero = MuZeroSettings(reanalyse=0.3, unroll_steps=4)
    learned = tiny(algorithm="muzero", muzero=muzero, updates=10, batch_size=24)

    def again(train, num_devices, updated=True):
        searched_again = build_algorithm(make(train.env), train).searched_again
        positions = num_devices * searched_again(train.batch_size // num_devices)
        found = speeds(train, 1.0, positions, 1.0, 2.0, updated=updated)
        return found.get("reanalysed_per_second")

    # 0.3 of 24 samples is 7.2; of the 12 of each of two devices 3.6, and at least one of the 2 of each of twelve.
    assert again(learned, 1) == 10 * 7 * 5 / 2
    assert again(learned, 2) == 10 * 2 * 4 * 5 / 2
    assert again(learned, 12) == 10 * 12 * 1 * 5 / 2
    assert again(learned, 1, updated=False) is None
    assert again(tiny(algorithm="muzero"), 1) is None
    assert again(tiny(muzero=muzero), 1) is None  # AlphaZero


def test_slow_measurements_take_a_tenth_of_the_time(tmp_path, monkeypatch):
    clock = itertools.count(step=0.25)  # seconds a look at it
    late = []

    def eleven_seconds(agent):
        late.append(11)
        return nothing(agent)

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: next(clock) + sum(late)))
    train(settings(tmp_path / "run", 220, evaluate_every=1e-6), eleven_seconds)
    counted, seconds = (
        len(late) - 1,
        read_metrics(tmp_path / "run")[-1]["seconds"],
    )  # compiling does not count
    assert counted >= 2
    assert 11 * counted <= seconds * 0.13


def test_a_measurement_that_would_end_after_the_run_is_left_to_the_final_one(tmp_path, monkeypatch):
    begun, runs = [], []

    def measured(name, minutes):
        clock = itertools.count(step=0.25)
        begun.clear()

        def three_seconds(agent):
            begun.append(runs[-1].seconds)
            return nothing(agent)

        monkeypatch.setattr(
            stopwatch, "time", SimpleNamespace(monotonic=lambda: next(clock) + 3 * len(begun))
        )
        config = settings(tmp_path / name, 100 if minutes is None else None, evaluate_every=1e-6)
        train(dataclasses.replace(config, minutes=minutes or 10), three_seconds, prepare=runs.append)
        return list(begun)

    starts = measured("long", None)
    assert len(starts) >= 4
    assert measured("short", (starts[3] + 2) / 60) == starts[:3]
    assert measured("longer", (starts[3] + 6) / 60) == starts[:4]


def test_the_time_ends_a_run(tmp_path):
    config = settings(tmp_path / "run", None, minutes=1e-9)
    assert int(train(config).iteration) == 1
    spent = read_metrics(tmp_path / "run")[-1]["seconds"]
    train(dataclasses.replace(config, minutes=(spent + 0.5) / 60, resume=True))
    *earlier, last = [line["seconds"] for line in read_metrics(tmp_path / "run")]
    assert last >= spent + 0.5 > earlier[-1]


def test_a_run_ends_at_its_target(tmp_path, monkeypatch):
    strengths, ticks = iter([0.25, 0.5, 0.75, 1.0]), itertools.count()
    # Nothing takes a second, after which fewer measurements are taken.
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: 1e-3 * next(ticks)))

    def measure(agent):
        return Strength("rising", next(strengths), 0.0, 1.0)

    config = settings(tmp_path / "run", 20, evaluate_every=1e-6, target=0.75)
    assert int(train(config, measure).iteration) == 3


def test_targets_that_are_clamped_are_told_of_once(tmp_path):
    def clip(run):
        learn = run.program.learn

        def clipping(state, progress):
            state, metrics = learn(state, progress)
            return state, metrics | {"reward_clipped_share": Mean(0.25, 1.0)}

        run.program = run.program._replace(learn=clipping)

    with pytest.warns(
        UserWarning, match="25.00% of the reward targets of iteration 2 .* raise --muzero.rew"
    ) as told:
        train(settings(tmp_path / "run", 4), prepare=clip)
    assert len([warning for warning in told if "clipped" in str(warning.message)]) == 1


def test_roots_are_logged_as_means_of_the_known_ones(tmp_path):
    def add_roots(run):
        learn = run.program.learn

        def with_roots(state, progress):
            state, metrics = learn(state, progress)
            known = 0.5 * (state.iteration > 2)
            return state, metrics | {
                "root_value": Mean(known, known),
                "root_return": Mean(0.5 * known, known),
            }

        run.program = run.program._replace(learn=with_roots)

    train(settings(tmp_path / "run", 3), prepare=add_roots)
    *_, none_known, last = read_metrics(tmp_path / "run")
    assert (last["root_value"], last["root_return"]) == (1, 0.5)
    assert not {"root_value", "root_return"} & none_known.keys()


def test_games_shorter_than_the_unrolled_steps_are_told_of_once(tmp_path):
    config = tiny(algorithm="muzero", muzero=MuZeroSettings(unroll_steps=12), warmup_iterations=9)
    with pytest.warns(UserWarning, match="unroll") as told:
        train(settings(tmp_path / "run", 6, train=config))
    (said,) = [str(warning.message) for warning in told if "unroll" in str(warning.message)]
    assert "lower --muzero.unroll-steps" in said
    (length,) = re.findall(r"^games end after (\S+) plies on average, but muzero.unroll_steps is 12: ", said)
    assert 5 <= float(length) < 12  # tic-tac-toe


def test_positions_that_the_replay_loses_before_their_game_ends_are_told_of_once(tmp_path, recwarn):
    short = tiny(replay_plies=6, warmup_iterations=9)  # as many as are played in an iteration of tic-tac-toe
    train(settings(tmp_path / "short", 4, train=short))
    (said,) = [str(warning.message) for warning in recwarn if "left the replay" in str(warning.message)]
    (share,) = re.findall(
        r"^in iteration 2, .* ended \((\d+)% .* replay_plies, 6; raise --replay-plies", said
    )
    assert 10 < int(share) <= 100
    assert "--td-lookahead" in said
    recwarn.clear()
    train(settings(tmp_path / "long", 4, train=tiny(warmup_iterations=9)))
    assert not [warning for warning in recwarn if "left the replay" in str(warning.message)]


def test_a_run_goes_on_where_no_game_has_ended_before_the_first_update(tmp_path, recwarn):
    train(
        settings(tmp_path / "run", 3, train=tiny(plies=2, opening_plies=0))
    )  # 4 plies of tic-tac-toe, then 6
    second, third = read_metrics(tmp_path / "run")[1:]
    assert second["updates"] > 0
    assert "policy_loss" not in second  # no position has a target
    assert second["games"] == 0 < third["games"]
    assert "policy_loss" in third
    assert not [warning for warning in recwarn if "same in all positions" in str(warning.message)]


@pytest.mark.parametrize(
    ("games", "algorithm", "tells"),
    [(0, "muzero", 0), (10, "muzero", 0), (11, "muzero", 1), (11, "alphazero", 0)],
)
def test_games_are_short_if_they_end_before_the_model_is_unrolled(games, algorithm, tells):
    advice = Advice(tiny(algorithm=algorithm, muzero=MuZeroSettings(unroll_steps=5)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for iteration in (1, 2):
            advice.after(iteration, 50, games, {"lost_share": 0.0}, {})
    assert len(told) == tells


@pytest.mark.parametrize(
    ("spread", "loss", "iterations", "tells"),
    [(1e-7, 0.5, 20, 1), (1e-7, 0.5, 40, 1), (1e-7, 0.5, 19, 0), (1e-7, 0.0, 20, 0), (0.01, 0.5, 20, 0)],
)
def test_a_policy_that_is_the_same_in_all_positions_is_told_of_once(spread, loss, iterations, tells):
    advice = Advice(tiny(learning_rate=0.5))
    losses = {"policy_std": spread, "policy_loss": loss}
    others = [{"policy_std": 0.5, "policy_loss": 0.5}, {}]  # a policy that is alive, and warm-up: count anew
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for iteration, each in enumerate([losses, *others, *[losses] * iterations]):
            advice.after(iteration, 50, 1, {"lost_share": 0.0}, each)
    said = [str(warning.message) for warning in told]
    assert len(said) == tells
    assert all("policy_std 1.0e-07" in text and "--learning-rate (now 0.5)" in text for text in said)


@pytest.mark.slow
def test_an_emulators_games_begin_anew_where_a_run_goes_on(tmp_path, monkeypatch, request):
    run_dir = tmp_path / "run"
    learned = tiny(algorithm="muzero")  # AlphaZero cannot search in an emulator
    before = train(settings(run_dir, 2, train=learned))
    monkeypatch.setattr(TicTacToe, "external", True, raising=False)
    env_spec._read.cache_clear()
    request.addfinalizer(env_spec._read.cache_clear)
    with pytest.raises(ValueError, match="'alphazero' searches by stepping states"):
        build_algorithm(TicTacToe(), TINY)
    with Run("tiny", TicTacToe(), settings(run_dir, 2, train=learned, resume=True)) as run:
        after = run.state
    assert np.asarray(before.games.ply).any()
    assert not np.asarray(after.games.ply).any()
    assert not np.asarray(after.games.states.board).any()
    newest = (int(before.replay.head) - 1) % before.replay.targets.shape[0]
    was, now = before.replay.plies, after.replay.plies
    # The games in progress are cut short; what had ended stays as it was.
    assert now.ended[newest].all()
    np.testing.assert_array_equal(now.truncated[newest], was.truncated[newest] | ~was.ended[newest])
    others = np.arange(len(was.ended)) != newest
    np.testing.assert_array_equal(now.ended[others], was.ended[others])
    assert same_bits(before.params, after.params)


def test_another_seed_gives_another_run(reference, tmp_path):
    train(settings(tmp_path / "other", 2, train=tiny(seed=1)))
    assert lines(tmp_path / "other")[0] != lines(reference(6)[0])[0]
