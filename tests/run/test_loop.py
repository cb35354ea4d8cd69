"""A run from outside: what is left after signals, crashes, full disks and mistakes, and that resuming is exact."""

import dataclasses
import errno
import functools
import itertools
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import env_spec
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.devices import set_up
from jzero.evaluate.measures import TimedMeasure, not_measured
from jzero.evaluate.record import record_games
from jzero.metrics import Mean
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run import cli
from jzero.run import loop as run_lib
from jzero.run.advice import Advice
from jzero.run.build import NOTHING, build_algorithm
from jzero.run.cli import main
from jzero.run.config import RunConfig
from jzero.run.loop import Run, Strength
from jzero.run.save import Saver
from jzero.run.speeds import speeds
from jzero.show.report import write_report
from jzero.storage import checkpoint
from jzero.storage.run_dir import RunDir, RunDirError, read_json, read_metrics, resume_command
from tests.helpers.tiny import CHILD, TINY, finish, same_bits, start_python, tiny, wait_for

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    # Orbax leaves its readers of damaged arrays behind.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning"),
]

SPEEDS = {
    *("seconds", "positions_per_second", "evaluations_per_second", "updates_per_second", "self_play_share"),
}
NEVER = 1e9


def nothing(agent):
    return Strength("nothing", 0.5, 0.25, 0.75)


def settings(path, iterations=3, **changes):
    defaults = {"minutes": 60, "evaluate_every": NEVER, "checkpoint_every": NEVER, "train": TINY}
    return RunConfig(run_dir=Path(path), iterations=iterations, **(defaults | changes))


@pytest.fixture(scope="module", autouse=True)
def _quick_runs():
    """Runs of this process share their compiled programs, and only those that are asked for draw reports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lib, "build", functools.cache(run_lib.build))
        patch.setattr(run_lib, "write_report", lambda path, env: path / "report.html")
        patch.setattr(run_lib, "record_games", lambda agent, **_: {"games": []})
        yield


def train(config, measure=nothing, final=nothing, prepare=lambda run: None):
    """The state after a whole run in this process; `prepare` may change the run before it trains."""
    with Run("tiny", make(config.train.env), config) as run:
        prepare(run)
        run.train(measure, final)
        return run.state


def saved(path):
    """(iteration, everything the newest checkpoint holds) of a run of `TINY` on one device."""
    _, program = run_lib.build(make(TINY.env), TINY, parts=NOTHING)  # shared with the runs
    state, seconds = Saver(Path(path) / "checkpoints", RunConfig()).restore(program.abstract)
    return int(state.iteration), {"state": state, "seconds": seconds}


def lines(path):
    """The metrics of each iteration without clocks and strengths."""
    skipped = SPEEDS | {"strength", "strength_low", "strength_high"}
    return [{k: v for k, v in line.items() if k not in skipped} for line in read_metrics(path)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """`reference(n)`: (directory, state) of n iterations without interruption."""

    @functools.cache
    def run(iterations):
        path = tmp_path_factory.mktemp("reference") / "run"
        return path, train(settings(path, iterations))

    return run


# A run that ends by itself.


def test_a_run_leaves_everything_that_a_reader_needs(reference, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_lib, "write_report", write_report)
    monkeypatch.setattr(run_lib, "record_games", record_games)
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
    assert result["strength"] == {"name": "nothing", "value": 0.5, "low": 0.25, "high": 0.75, "unit": ""}
    assert (result["iterations"], result["positions"], result["updates"]) == (6, 6 * 8 * 6, 10)
    assert read_json(path / "config.json")["config"]["train"] == dataclasses.asdict(TINY)
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

    monkeypatch.setattr(run_lib, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    config = settings(tmp_path / "run", None, minutes=5 / 60)
    state = train(config, takes("measure", nothing), prepare=slow_down)
    metrics = read_metrics(tmp_path / "run")
    assert [line["seconds"] for line in metrics] == [0, 1, 3, 5]
    assert ["strength" in line for line in metrics] == [True, False, False, False]
    assert int(state.iteration) == 4


def test_what_makes_the_first_update_come_soon_is_said_at_once(tmp_path, monkeypatch, capsys):
    clock = [0]

    def slow_down(run):
        def play(state):
            clock[0] += 30
            return program.play(state)

        def learn(state):
            clock[0] += 1
            return program.learn(state)

        program = run.program
        run.program = program._replace(play=play, learn=learn)

    monkeypatch.setattr(run_lib, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    slow = tiny(warmup_iterations=3)
    train(settings(tmp_path / "run", 6, minutes=10, train=slow), prepare=slow_down)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "LITTLE TIME" in line]
    assert said.endswith(
        "the first update comes after 4 iterations, 2 min of this run's 10 min; give --minutes 20 or "
        "--games 4 (now 8)"
    )
    monkeypatch.setattr(run_lib, "least_seconds", lambda *_: 30.0)
    with Run("tiny", make(slow.env), settings(tmp_path / "other", 6, minutes=10, train=slow)):
        *_, said, _ = capsys.readouterr().out.splitlines()
    assert "LITTLE TIME" in said
    train(settings(tmp_path / "soon", 6, minutes=60, train=tiny(warmup_iterations=0)), prepare=slow_down)
    assert "LITTLE TIME" not in capsys.readouterr().out.partition("soon")[2]


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


def test_speeds_are_by_the_time_of_what_they_count(tmp_path, monkeypatch):
    """Self-play takes three seconds, the updates two, by a clock that stands still otherwise."""
    clock = [0]

    def takes(seconds, function):
        def slowed(state):
            clock[0] += seconds
            return function(state)

        return slowed

    def slow_down(run):
        run.program = run.program._replace(play=takes(3, run.program.play), learn=takes(2, run.program.learn))

    monkeypatch.setattr(run_lib, "time", SimpleNamespace(monotonic=lambda: clock[0]))
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

    monkeypatch.setattr(run_lib, "time", SimpleNamespace(monotonic=lambda: next(clock) + sum(late)))
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

        monkeypatch.setattr(run_lib, "time", SimpleNamespace(monotonic=lambda: next(clock) + 3 * len(begun)))
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
    monkeypatch.setattr(run_lib, "time", SimpleNamespace(monotonic=lambda: 1e-3 * next(ticks)))

    def measure(agent):
        return Strength("rising", next(strengths), 0.0, 1.0)

    config = settings(tmp_path / "run", 20, evaluate_every=1e-6, target=0.75)
    assert int(train(config, measure).iteration) == 3


def test_targets_that_are_clamped_are_told_of_once(tmp_path):
    def clip(run):
        learn = run.program.learn

        def clipping(state):
            state, metrics = learn(state)
            return state, metrics | {"reward_clipped_share": Mean(0.25, 1.0)}

        run.program = run.program._replace(learn=clipping)

    with pytest.warns(
        UserWarning, match="25.00% of the reward targets of iteration 2 .* raise --muzero.rew"
    ) as told:
        train(settings(tmp_path / "run", 4), prepare=clip)
    assert len([warning for warning in told if "clamped" in str(warning.message)]) == 1


def test_roots_are_logged_as_means_of_the_known_ones(tmp_path):
    def add_roots(run):
        learn = run.program.learn

        def with_roots(state):
            state, metrics = learn(state)
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
    (length,) = re.findall(r"^games end after (\S+) plies on average, and muzero.unroll_steps is 12: ", said)
    assert 5 <= float(length) < 12  # tic-tac-toe


def test_positions_that_the_replay_loses_before_their_game_ends_are_told_of_once(tmp_path, recwarn):
    short = tiny(replay_plies=6, warmup_iterations=9)  # as many as are played in an iteration of tic-tac-toe
    train(settings(tmp_path / "short", 4, train=short))
    (said,) = [str(warning.message) for warning in recwarn if "left the replay" in str(warning.message)]
    (share,) = re.findall(r"^in iteration 2 (\d+)% as many .* replay_plies, 6; raise --replay-plies", said)
    assert 10 < int(share) <= 100
    assert "--td-lookahead" in said
    recwarn.clear()
    train(settings(tmp_path / "long", 4, train=tiny(warmup_iterations=9)))
    assert not [warning for warning in recwarn if "left the replay" in str(warning.message)]


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


# Interrupted and resumed.


def test_a_killed_run_goes_on_to_the_same_bits(reference, tmp_path, cache):
    """3 iterations, kill -9 in the 4th, 3 more: what 6 iterations without a break give."""
    run_dir = tmp_path / "run"
    options = ["--run-dir", run_dir, "--checkpoint-every", 1e-9]
    child = start_python("-c", CHILD, "iteration 4", *options, cache=cache)
    wait_for(lambda: (run_dir / "checkpoints" / "3").exists(), child)
    said = next(line for line in child.stdout if not line.startswith("["))
    assert said.startswith("tiny: alphazero in tic_tac_toe, 8 games")
    while child.stdout.readline() != "hangs\n":
        pass
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    # A line of an iteration that was not saved, and half a line.
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 4, "loss": 1e9}\n{"iterat')

    state = train(settings(run_dir, 6, resume=True))
    path, expected = reference(6)
    assert same_bits(state, expected)
    assert saved(run_dir)[0] == 6
    assert same_bits(saved(run_dir)[1]["state"], saved(path)[1]["state"])
    assert lines(run_dir) == lines(path)


@pytest.mark.slow
def test_a_run_killed_while_it_saves_goes_on_to_the_same_bits(reference, tmp_path, cache):
    run_dir = tmp_path / "run"
    child = start_python("-c", CHILD, "never", "--run-dir", run_dir, "--checkpoint-every", 1e-9, cache=cache)
    wait_for(lambda: (run_dir / "checkpoints" / "2").exists(), child)
    wait_for(lambda: any((run_dir / "checkpoints").glob("*tmp*")), child)
    child.kill()
    child.communicate()
    done = checkpoint.iterations(run_dir / "checkpoints")[-1]
    total = max(done + 1, 6)
    state = train(settings(run_dir, total, resume=True))
    path, expected = reference(total)
    assert same_bits(state, expected)
    assert lines(run_dir) == lines(path)
    assert not list((run_dir / "checkpoints").glob("*tmp*"))


def test_signals_save_and_exit_and_the_line_they_print_resumes(reference, tmp_path, cache):
    run_dir = tmp_path / "run"
    options, seconds = ["--run-dir", run_dir], 0.0
    for number in (signal.SIGINT, signal.SIGTERM):
        before = len(read_metrics(run_dir))
        child = start_python("-c", CHILD, "never", *options, cache=cache)
        wait_for(lambda before=before: len(read_metrics(run_dir)) >= before + 2, child)
        child.send_signal(number)
        out, err = finish(child)
        assert child.returncode == 0, err
        last = len(read_metrics(run_dir))
        resume = f"python experiments/tiny.py --run-dir {run_dir} --resume"
        assert out.splitlines()[-2:] == [f"stopped and saved; go on with: {resume}", "the end"]
        assert "Traceback" not in err
        assert "pos/s" not in err  # no bar where there is no terminal
        assert checkpoint.iterations(run_dir / "checkpoints")[-1] == last
        assert not (run_dir / "result.json").exists()
        total = float(saved(run_dir)[1]["seconds"])
        assert total > seconds
        options, seconds = resume.split()[2:], total

    state = train(settings(run_dir, last + 1, resume=True))
    path, expected = reference(last + 1)
    assert same_bits(state, expected)
    assert lines(run_dir) == lines(path)
    clock = [line["seconds"] for line in read_metrics(run_dir)]
    assert clock == sorted(clock)


def test_a_second_signal_ends_the_process_at_once(tmp_path, cache):
    run_dir = tmp_path / "run"
    child = start_python("-c", CHILD, "iteration 1", "--run-dir", run_dir, cache=cache)
    while child.stdout.readline() != "hangs\n":
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    text = ""
    while "again to quit at once without saving" not in text:
        text += child.stderr.read(1)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 128 + signal.SIGINT  # it would hang for ten minutes
    child.communicate()
    assert checkpoint.iterations(run_dir / "checkpoints") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["while it trains", "at its end"])
def test_a_measurement_is_left_at_once(tmp_path, capfd, number, when):
    def interrupted(agent):
        os.kill(os.getpid(), number)
        time.sleep(60)
        pytest.fail("the measurement goes on")

    def never(agent):
        pytest.fail("a run that was stopped measures again")

    measures = (interrupted, never) if when == "while it trains" else (nothing, interrupted)
    before = signal.getsignal(number)
    begun = time.monotonic()
    state = train(settings(tmp_path / "run", 2), *measures)
    assert time.monotonic() - begun < 50
    assert signal.getsignal(number) == before
    assert checkpoint.iterations(tmp_path / "run" / "checkpoints")[-1] == int(state.iteration)
    assert "stopped and saved; go on with: " in capfd.readouterr().out
    assert not (tmp_path / "run" / "result.json").exists()


def test_the_second_interrupt_is_one_of_python(tmp_path):
    def impatient(run):
        play = run.program.play

        def interrupted(state):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            return play(state)

        run.program = run.program._replace(play=interrupted)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", 2), prepare=impatient)
    assert signal.getsignal(signal.SIGINT) == before
    RunDir.create(tmp_path / "run", "tiny", {}, resume=True).close()  # nobody holds its lock


def test_sigterm_ends_the_process_while_a_program_compiles_and_saves_later(tmp_path):
    found, before = [], signal.getsignal(signal.SIGTERM)

    def watch(run):
        def watched(name):
            function = getattr(run.program, name)
            return lambda state: (
                found.append((name, signal.getsignal(signal.SIGTERM) == before)) or function(state)
            )

        run.program = run.program._replace(play=watched("play"), learn=watched("learn"))

    train(settings(tmp_path / "run", 3), prepare=watch)
    assert found == [
        *[("play", True), ("play", False), ("learn", True), ("play", False), ("learn", False)],
    ]


def test_resuming_a_finished_run_changes_nothing(reference, tmp_path):
    path, state = reference(6)
    shutil.copytree(path, tmp_path / "run")
    assert same_bits(train(settings(tmp_path / "run", 6, resume=True)), state)
    assert lines(tmp_path / "run") == lines(path)


def test_a_resumed_run_takes_its_own_settings_and_the_options_given(reference, tmp_path):
    path, _ = reference(6)
    shutil.copytree(path, tmp_path / "run")
    preset = RunConfig(train=tiny(games=64, seed=9))
    options = ["--run-dir", str(tmp_path / "run"), "--resume", "--learning-rate", "0.5", "--minutes", "7"]
    config = cli.parse("tiny", preset, options)
    assert config.train == tiny(learning_rate=0.5)
    assert config.minutes == 7
    assert cli.parse("tiny", preset, options[:2]).train == preset.train


OTHER_SETTINGS = RunConfig(
    minutes=60,
    iterations=5000,
    target=0.9,
    resume=True,
    evaluate_every=math.inf,  # JSON has no infinity
    checkpoint_every=30,
    keep_newest=3,
    keep_every=5,
    keep_best=True,
    save_replay=False,
    tensorboard=True,
    wandb=True,
    cpu_devices=1,
    train=tiny(games=64, max_grad_norm=math.inf),
)


def test_the_pasted_line_restores_every_setting_of_a_run(tmp_path):
    path = tmp_path / "it's my run"
    begun = dataclasses.replace(OTHER_SETTINGS, run_dir=path, resume=False)
    RunDir.create(path, "demo", begun, command="python 'my demo.py'").close()
    program, script, *options = shlex.split(resume_command("demo", path))
    assert (program, script) == ("python", "my demo.py")
    default = RunConfig(train=tiny(plies=3))
    for field in dataclasses.fields(RunConfig):
        assert getattr(OTHER_SETTINGS, field.name) != getattr(default, field.name) or field.name == "run_dir"
    expected = dataclasses.replace(OTHER_SETTINGS, run_dir=path)
    assert cli.parse("demo", default, options) == expected
    assert cli.parse("demo", lambda name, env: default, options) == expected
    given = ["--minutes", "70", "--target", "None", "--no-tensorboard", "--cpu-devices", "None"]
    changes = {"minutes": 70, "target": None, "tensorboard": False, "cpu_devices": None}
    assert cli.parse("demo", default, options + given) == dataclasses.replace(expected, **changes)


@pytest.mark.parametrize("damage", ["truncated", "deleted"])
def test_a_damaged_newest_checkpoint_costs_only_what_came_after_the_one_before(reference, tmp_path, damage):
    run_dir = tmp_path / "run"
    train(settings(run_dir, 5, checkpoint_every=1e-9))
    assert checkpoint.iterations(run_dir / "checkpoints") == [4, 5]
    data = run_dir / "checkpoints" / "5" / "ocdbt.process_0" / "d"
    if damage == "truncated":
        largest = max(data.iterdir(), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 3])
    else:
        shutil.rmtree(data)
    with pytest.warns(UserWarning, match="checkpoints/5 cannot be read .*; trying the one before"):
        state = train(settings(run_dir, 6, resume=True))
    path, expected = reference(6)
    assert same_bits(state, expected)
    assert lines(run_dir) == lines(path)


# What goes wrong.


def test_a_run_that_exists_is_not_overwritten(reference):
    path, _ = reference(6)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != "lock"}
    with pytest.raises(RunDirError, match=re.escape(f"python experiments/tiny.py --run-dir {path} --resume")):
        train(settings(path))
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != "lock"} == before


def test_a_run_in_use_is_refused(tmp_path):
    config = settings(tmp_path / "run")
    with Run("tiny", make(TINY.env), config):
        for resume in (True, False):
            with pytest.raises(RunDirError, match="in use by process"):
                Run("tiny", make(TINY.env), dataclasses.replace(config, resume=resume))
    # Left, it is free again.
    with Run("tiny", make(TINY.env), dataclasses.replace(config, resume=True)) as run:
        assert run.iteration == 0


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_ended_before_its_first_checkpoint_starts_anew(tmp_path, reference, resume):
    def fail(agent):
        raise ZeroDivisionError("of the user's measure")

    path = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        train(settings(path, 6, keep_best=True), fail)
    assert "ZeroDivisionError: of the user's measure" in (path / "traceback.txt").read_text()
    (path / "metrics.jsonl").write_text('{"iteration": 4, "games": 99}\n')
    (path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)
    assert same_bits(train(settings(path, 6, resume=resume)), reference(6)[1])
    assert lines(path) == lines(reference(6)[0])
    assert not (path / "traceback.txt").exists()


def test_a_run_that_fails_while_it_begins_gives_its_directory_back(tmp_path, monkeypatch):
    config = settings(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(run_lib, "build_agent", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Run("tiny", make(TINY.env), config)
    with Run("tiny", make(TINY.env), config):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": NetworkSettings(width=32, blocks=1)}, "network.width was 16 and is now 32"),
        (
            {"network": NetworkSettings(width=16, blocks=1, norm="none")},
            "network.norm was 'layer' and is now 'none'",
        ),
        ({"env": "connect_four"}, "env was 'tic_tac_toe' and is now 'connect_four'"),
        ({"games": 16, "plies": 9}, "games was 8 and is now 16; plies was 6 and is now 9"),
    ],
)
def test_another_network_or_game_does_not_fit_and_the_field_is_named(reference, changes, message):
    path, _ = reference(6)
    with pytest.raises(ValueError, match="does not fit") as error:
        train(settings(path, resume=True, train=tiny(**changes)))
    assert message in str(error.value)
    assert "leave these options out to resume" in str(error.value)
    # The directory is not left locked.
    train(settings(path, 6, resume=True))


def not_a_number_in_update(number):
    """Spoils the weights before the updates of one iteration."""

    def prepare(run):
        learn = run.program.learn

        def spoiled(state):
            if int(state.iteration) == number:
                state = state._replace(params=jax.tree.map(lambda x: x * math.nan, state.params))
            return learn(state)

        run.program = run.program._replace(learn=spoiled)

    return prepare


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named_with_its_step(tmp_path, reference):
    run_dir = tmp_path / "run"
    with pytest.raises(FloatingPointError) as error:
        train(settings(run_dir, 6, checkpoint_every=1e-9), prepare=not_a_number_in_update(4))
    assert "policy_loss is nan" in str(error.value)
    assert "in iteration 4 (update 5)" in str(error.value)
    assert "lower --learning-rate" in str(error.value)
    assert "environment" not in str(error.value)
    assert f"--run-dir {run_dir} --resume" in str(error.value)
    assert "\n" not in str(error.value)
    # The last good iteration is there to go on with.
    assert [line["iteration"] for line in read_metrics(run_dir)] == [1, 2, 3]
    assert same_bits(train(settings(run_dir, 6, resume=True)), reference(6)[1])


def test_only_what_was_not_finite_first_is_named_with_its_update(tmp_path):
    """In the second of two updates all metrics are spoiled, in the first only what depends on value targets."""

    def spoil_targets(run):
        learn = run.program.learn

        def spoiled(state):
            return learn(
                state._replace(replay=state.replay._replace(targets=state.replay.targets * math.nan))
            )

        run.program = run.program._replace(learn=spoiled)

    with pytest.raises(FloatingPointError) as error:
        train(settings(tmp_path / "run", 6), prepare=spoil_targets)
    named = "grad_norm is nan, loss is nan, value_loss is nan in iteration 2 (update 1); the run was stopped"
    assert str(error.value).startswith(named)
    assert "observation or a reward of the environment" in str(error.value)


def test_self_play_that_is_not_finite_is_named_before_its_updates(tmp_path):
    def spoil_play(run):
        play = run.program.play

        def spoiled(state):
            state, metrics = play(state)
            return state, metrics | {"policy_entropy": Mean(math.nan, 1.0)}

        run.program = run.program._replace(play=spoiled)

    with pytest.raises(
        FloatingPointError, match=r"^policy_entropy is nan in iteration 1 \(self-play\)"
    ) as error:
        train(settings(tmp_path / "run", 6), prepare=spoil_play)
    # No weight has changed, and no checkpoint is there.
    assert "observation or a reward of the environment" in str(error.value)
    assert str(error.value).endswith("`python -m jzero check tic_tac_toe` says which")


def test_an_absurd_learning_rate_stops_the_run(tmp_path):
    absurd = tiny(learning_rate=1e38, max_grad_norm=1e38)
    with pytest.raises(
        FloatingPointError, match=r"(loss|grad_norm|policy_\w+) is (nan|inf) in iteration [23]"
    ):
        train(settings(tmp_path / "run", 20, train=absurd))


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(tmp_path, reference, monkeypatch):
    run_dir, write = tmp_path / "run", ocp.StandardCheckpointer.save

    def full_in_iteration_3(checkpointer, path, *args, **kwargs):
        if path.name == "3":
            (path.parent / "3.orbax-checkpoint-tmp").mkdir()
            raise OSError(errno.ENOSPC, "No space left on device")
        write(checkpointer, path, *args, **kwargs)

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", full_in_iteration_3)
    with pytest.raises(OSError, match=r"checkpoint of iteration 3 .*No space left .*earlier .* are intact"):
        train(settings(run_dir, 6, checkpoint_every=1e-9))
    monkeypatch.undo()
    assert sorted(entry.name for entry in (run_dir / "checkpoints").iterdir()) == ["1", "2", "replay"]
    assert same_bits(train(settings(run_dir, 6, resume=True)), reference(6)[1])
    assert lines(run_dir) == lines(reference(6)[0])


# The command line.


@pytest.fixture
def command_line(monkeypatch, capsys):
    """`command_line(*options)`: what an experiment's `main` with `TINY` as its preset ends with, and says."""
    monkeypatch.setattr(cli, "set_up", lambda **_: None)  # this process has its devices
    monkeypatch.delenv("JZERO_TRACEBACK", raising=False)

    def call(*options):
        preset = RunConfig(minutes=60, iterations=2, evaluate_every=NEVER, train=TINY)
        with pytest.raises(SystemExit) as exit_:
            main("tiny", preset, lambda env: nothing, argv=[str(option) for option in options])
        # A text is printed by Python itself; tyro prints its own in a frame and exits with a number.
        said = str(exit_.value.code) if isinstance(exit_.value.code, str) else capsys.readouterr().err
        assert exit_.value.code
        return re.sub(r"[\s│]+", " ", said) if not isinstance(exit_.value.code, str) else said

    return call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--env", "tic_tac_to"], "error: unknown env 'tic_tac_to': did you mean 'tic_tac_toe'?"),
        (["--env", "no_module:Game"], "error: env 'no_module:Game': cannot import the module 'no_module'"),
        (["--games", "0"], "games is 0; it must be at least 1"),
        (["--minutes", "-1"], "minutes is -1.0; it must be greater than 0"),
        (["--search.num-simulations", "0"], "search.num_simulations is 0; it must be at least 1"),
        (["--network.width", "0"], "network.width is 0; it must be at least 1"),
        (["--number-of-games", "3"], "Unrecognized options: --number-of-games"),
        (["--plies", "4"], "error: replay_plies is 18; it must be a multiple of plies, 4"),
        (["--resume", "--run-dir", "{tmp}/missing"], "{tmp}/missing holds no run (no config.json)"),
        (["--run-dir", "{tmp}/file/run"], "error: cannot write {tmp}/file/run: Not a directory"),
        (["--run-dir", "{tmp}"], "error: run directory {tmp} is not empty"),
    ],
)
def test_a_mistake_is_told_without_a_traceback_and_leaves_nothing(tmp_path, command_line, options, message):
    (tmp_path / "file").write_text("x")
    options = [option.format(tmp=tmp_path) for option in options]
    if "--run-dir" not in options:
        options += ["--run-dir", str(tmp_path / "run")]
    found = command_line(*options)
    assert message.format(tmp=tmp_path) in found
    assert "\n" not in found
    assert "Traceback" not in found
    assert {entry.name for entry in tmp_path.iterdir()} <= {"file", "lock"}


def test_a_loss_that_is_not_finite_is_one_line_too(tmp_path, command_line, monkeypatch):
    enter = Run.__enter__

    def spoil_and_enter(run):
        not_a_number_in_update(2)(run)
        return enter(run)

    monkeypatch.setattr(Run, "__enter__", spoil_and_enter)
    found = command_line("--run-dir", tmp_path / "run", "--iterations", 3)
    assert found.startswith("error: ")
    assert "loss is nan" in found


USERS_GAME = """
from jzero_envs.tic_tac_toe import TicTacToe

class Game(TicTacToe):
    def {function}(self, *arguments):
        return 1 / 0  # a mistake
"""


@pytest.mark.parametrize("function", ["init", "step", "observe", "__init__"])
def test_an_error_of_the_users_code_is_one_line_that_names_theirs(
    tmp_path, command_line, monkeypatch, function
):
    module = f"users_game_{function.strip('_')}"
    (tmp_path / f"{module}.py").write_text(USERS_GAME.format(function=function))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = command_line("--env", f"{module}:Game", "--run-dir", tmp_path / "run")
    assert f"({module}.py, line 6: `return 1 / 0  # a mistake`)" in found
    assert len(found.splitlines()) <= 2  # of check_env's errors each has a line


def test_an_error_of_the_users_measure_has_its_traceback_in_the_run_directory(tmp_path, monkeypatch):
    def broken(agent):
        return {}["strength"]

    monkeypatch.setattr(cli, "set_up", lambda **_: None)
    monkeypatch.delenv("JZERO_TRACEBACK", raising=False)
    preset = RunConfig(iterations=2, train=TINY)
    options = ["--run-dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as error:
        main("tiny", preset, lambda env: broken, argv=options)
    line = "KeyError: 'strength' (test_loop.py, line "
    assert str(error.value).startswith(f"error: {line}")
    assert str(error.value).endswith(f"the whole traceback is in {tmp_path / 'run' / 'traceback.txt'}")
    assert 'return {}["strength"]' in (tmp_path / "run" / "traceback.txt").read_text()
    monkeypatch.setenv("JZERO_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main("tiny", preset, lambda env: broken, argv=options)
    # A defect of jzero is shown as it is.
    monkeypatch.delenv("JZERO_TRACEBACK")
    monkeypatch.setattr(run_lib, "speeds", None)
    with pytest.raises(TypeError):
        main("tiny", preset, lambda env: broken, argv=options)


def test_main_trains_and_returns_the_strength(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "set_up", lambda **_: None)
    monkeypatch.chdir(tmp_path)
    preset = RunConfig(minutes=60, iterations=2, evaluate_every=NEVER, train=TINY)
    assert main("tiny", preset, lambda env: nothing, argv=["--iterations", "1"]) == nothing(None)
    (run_dir,) = (tmp_path / "runs" / "tiny").iterdir()
    assert len(read_metrics(run_dir)) == 1
    text = capsys.readouterr()
    assert f"run directory: runs/tiny/{run_dir.name}" in text.out
    *_, untrained, last = text.out.splitlines()
    assert untrained == "NOTHING WAS LEARNED: the first update is in iteration 2; give it more --minutes"
    assert last == "nothing: 0.500 [0.250, 0.750]"
    # And on with the newest run, without naming it.
    main("tiny", preset, lambda env: nothing, argv=["--resume", "--iterations", "2"])
    assert len(read_metrics(run_dir)) == 2
    record = json.loads((run_dir / "config.json").read_text())
    assert record["experiment"] == "tiny"


@pytest.fixture
def started(monkeypatch):
    """A function: the settings that `main` starts a run with, where JAX finds this backend."""

    def start(backend, options, presets, **more):
        seen = []

        def stop(experiment, env, config, command):
            seen.append(config)
            raise ValueError("enough")

        monkeypatch.setattr(cli, "set_up", lambda **_: None)
        monkeypatch.setattr(cli, "Run", stop)
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        with pytest.raises(SystemExit, match="enough"):
            main("tiny", presets, lambda env: nothing, argv=[str(option) for option in options], **more)
        return seen[0]

    return start


SIMPLE = RunConfig(train=TINY)
LARGE = RunConfig(train=tiny(games=64))


@pytest.mark.parametrize(
    ("presets", "more", "games"),
    [
        (SIMPLE, {}, 16 * 8),
        (SIMPLE, {"accelerated": LARGE}, 64),
        ({"alphazero": SIMPLE, "muzero": LARGE}, {}, 16 * 8),
        ({"alphazero": SIMPLE}, {"accelerated": {"alphazero": LARGE}}, 64),
        (lambda name, env: LARGE, {}, 16 * 64),
        ({"alphazero": lambda name, env: LARGE}, {"accelerated": {"alphazero": lambda name, env: LARGE}}, 64),
    ],
)
def test_networks_compute_in_bfloat16_on_an_accelerator_unless_one_says_otherwise(
    started, presets, more, games
):
    env = ["--env", "tic_tac_toe"]
    found = started("gpu", env, presets, **more).train
    assert (found.network.bf16, found.games) == (True, games)
    assert not started("gpu", [*env, "--network.no-bf16"], presets, **more).train.network.bf16
    other = started("tpu", [*env, "--network.width", 24], presets, **more).train.network
    assert (other.bf16, other.width) == (True, 24)
    assert not started("cpu", env, presets, **more).train.network.bf16
    assert started("cpu", [*env, "--network.bf16"], presets, **more).train.network.bf16


@pytest.mark.parametrize("presets", [SIMPLE, {"alphazero": lambda name, env: LARGE}])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_resumed_run_computes_as_it_began_wherever_it_goes_on(started, tmp_path, presets, bf16):
    network = dataclasses.replace(TINY.network, bf16=bf16)
    config = {"train": dataclasses.asdict(tiny(network=network, games=16))}
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    for backend in ("gpu", "cpu"):
        found = started(backend, ["--resume", "--run-dir", tmp_path], presets, accelerated=LARGE).train
        assert (found.network.bf16, found.games) == (bf16, 16)


def test_the_algorithm_chooses_the_preset(tmp_path):
    presets = {
        name: RunConfig(minutes=minutes, train=tiny(algorithm=name))
        for minutes, name in enumerate(("gumbel_muzero", "muzero"), start=1)
    }
    assert cli.parse("tiny", presets, []) == presets["gumbel_muzero"]
    assert cli.parse("tiny", presets, ["--algorithm", "muzero"]) == presets["muzero"]
    assert cli.parse("tiny", presets, ["--algorithm=muzero", "--seed", "4"]).train.seed == 4
    with pytest.raises(
        ValueError, match=r"algorithm is 'alphazero'; this experiment has .* gumbel_muzero, muzero"
    ):
        cli.parse("tiny", presets, ["--algorithm", "alphazero"])


def test_devices_stay_as_they_are_once_jax_is_in_use():
    before = jax.devices()
    set_up(cache=None)
    set_up(cpu_devices=len(before), cache=None)
    with pytest.raises(ValueError, match=r"cpu_devices is 64, but JAX is in use with \d+: give it before"):
        set_up(cpu_devices=64, cache=None)
    assert jax.devices() == before
