"""The Python loop around the compiled program: clock, progress bar, log, evaluation, checkpoints, signals."""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from jzero.agent import Agent
from jzero.env import Env
from jzero.env_spec import describe as describe_env
from jzero.evaluate.measures import Measure, Strength, take
from jzero.metrics import read
from jzero.program import TrainState, begin_new_games
from jzero.pytrees import Json, States
from jzero.run.advice import Advice, late_update, nothing_learned
from jzero.run.build import NOTHING, Parts, build, build_agent
from jzero.run.config import RunConfig
from jzero.run.describe import check_memory, describe, least_seconds
from jzero.run.finite import cause_in_play, cause_in_update, check_finite
from jzero.run.measuring import MeasuringTimes
from jzero.run.processes import of_first_process, watched
from jzero.run.progress import say, working
from jzero.run.resume import check_resumable, handed_in
from jzero.run.samples import record_samples
from jzero.run.save import LIGHT, Saver
from jzero.run.signals import Signals
from jzero.run.speeds import speeds, speeds_words
from jzero.run.stopwatch import Stopwatch
from jzero.show.curves import speeds_line
from jzero.show.report import write_report
from jzero.show.words import duration
from jzero.storage.files import write_atomic
from jzero.storage.loggers import make_loggers
from jzero.storage.run_dir import CHECKPOINTS, TRACEBACK, RunDir, has_checkpoint, read_metrics, resume_command

ANALYSED = 2
"""Sample games of the final report that show their searches."""


class Run:
    """A run in progress: its directory, program and state. Use as a context manager."""

    def __init__(
        self,
        experiment: str,
        env: Env,
        config: RunConfig,
        command: str | None = None,
        parts: Parts = NOTHING,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Claims the run directory and restores or initialises the state.

        Args:
          experiment: its name, and the folder under runs/.
          env: the environment.
          config: the settings.
          command: the command that starts it, for the message on how to resume.
          parts: objects that replace what the settings name.
          clock: returns seconds, as `time.monotonic` does, which is the default.

        Raises:
          RunDirError: the directory cannot be used.
          ValueError: a setting does not fit the devices, the environment, or the checkpoint.
        """
        self.experiment, self.env, self.config = experiment, env, config
        self._watch, self._advised = Stopwatch(clock), False
        say(f"{experiment}: building the network and the program")
        self.algorithm, self.program = build(env, config.train, parts=parts)
        self.leads = jax.process_index() == 0
        if jax.process_count() > 1 and config.run_dir is None:
            raise ValueError(
                "run_dir is missing; with several processes, give all of them the same --run-dir"
            )
        if config.resume:
            check_resumable(config.run_dir or RunDir.find(experiment), config.train, parts)
        check_memory(self.algorithm.model, config.train, self.program.abstract)
        self.dir: RunDir | None = None
        self.loggers = []
        self.signals, self._advice = Signals(), Advice(config.train)
        if self.leads:
            device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
            written = dataclasses.asdict(config) | {"handed_in": handed_in(env, config.train, parts)}
            self.dir = RunDir.create(
                config.run_dir, experiment, written, config.resume, device=device, command=command
            )
        try:
            self._begin(parts)
        except BaseException:
            self._close()
            raise

    def _begin(self, parts: Parts) -> None:
        """Restores or initialises the state in the claimed directory."""
        experiment, env, config = self.experiment, self.env, self.config
        self.path = self.dir.path if self.dir is not None else Path(str(config.run_dir))
        if self.leads:  # before any of the memory that it speaks of is taken
            least = least_seconds(self.algorithm.model, config.train, self.program.abstract)
            said = describe(self.algorithm.model, config, self.program.abstract, least)
            print(f"{experiment}: {said}\nrun directory: {self.path}", flush=True)
            if not config.resume:
                self._say_if_late(least or 0.0)
        self.saver = Saver(self.path / CHECKPOINTS, config)
        self.seconds, self._first_update = 0.0, config.train.warmup_iterations
        resumed = config.resume and has_checkpoint(self.path)
        with working("initialising the state"):
            self.state = self._restored() if resumed else self.program.init()
        self._agent = build_agent(env, config.train, self.state.averaged, parts, self.algorithm)
        self._totals = {"games": 0.0, "evaluations": 0.0}
        self._strength: float | None = None
        if self.dir is not None:
            if config.resume:
                self.dir.rewind_metrics(self.iteration)
                self._recall(read_metrics(self.path))
            self.loggers = make_loggers(
                self.path,
                config.tensorboard,
                config.wandb,
                dataclasses.asdict(config),
                resumed_at=self.iteration if resumed else None,
            )

    def _restored(self) -> TrainState:
        """The state of the newest checkpoint. If that has no replay, new games fill one first."""
        saved, seconds = self.saver.restore(self.program.abstract)
        self.seconds = seconds
        if saved.replay is None:
            saved = self.program.init()._replace(**{name: getattr(saved, name) for name in LIGHT})
            self._first_update += int(saved.iteration)
        elif describe_env(self.env).external:
            renew = jax.jit(partial(begin_new_games, self.env, self.config.train), donate_argnums=0)
            saved = renew(saved)
        return saved

    def __enter__(self) -> Run:
        """Catches Ctrl-C and SIGTERM until the context exits."""
        self.signals.take()
        return self

    def __exit__(self, kind: object, error: BaseException | None, place: object) -> None:
        """Restores the signal handlers, closes the loggers, writes an error's traceback and releases the
        directory.
        """
        if self.dir is not None and isinstance(error, Exception):
            write_atomic(self.path / TRACEBACK, "".join(traceback.format_exception(error)))
        self.signals.give_back()
        self._close()

    def _close(self) -> None:
        for logger in self.loggers:
            logger.close()
        if self.dir is not None:
            self.dir.close()

    @property
    def _directory(self) -> RunDir:
        """The directory, which the first process has."""
        assert self.dir is not None
        return self.dir

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return int(self.state.iteration)

    @property
    def positions(self) -> int:
        """Positions played so far."""
        return self.iteration * self.config.train.games * self.config.train.plies

    def agent(self) -> Agent:
        """The agent with the current weights."""
        return self._agent.with_params(self.state.averaged)

    def train(self, measure: Measure, final: Measure) -> Strength | None:
        """Trains until the time or the iterations run out, then measures and writes the result.

        Args:
          measure: called every `evaluate_every` seconds.
          final: called at the end.

        Returns:
          The final strength; None if a signal stopped the run, which is then saved. A signal stops a measurement at
          once, and training after the current iteration.

        Raises:
          FloatingPointError: a metric is not finite; nothing of that iteration is saved.
          KeyboardInterrupt: at the second Ctrl-C, at once.
        """
        go_on = resume_command(self.experiment, self.path)
        with watched(jax.process_index(), jax.process_count(), go_on):
            return self._train(measure, final)

    def _train(self, measure: Measure, final: Measure) -> Strength | None:
        """`train` without the handling of errors and signals."""
        self._watch.set(self.seconds)
        times = MeasuringTimes(measure, self.config.minutes, self.config.evaluate_every, self.seconds)
        next_save = self.seconds + self.saver.interval
        hidden = None if self.leads else True  # None: unless there is a terminal
        bar = tqdm(total=round(times.budget), initial=round(self.seconds), bar_format=_BAR, disable=hidden)
        with bar:
            bar.set_postfix_str("compiling")
            while not self._all_agree(self.signals.stop or self._finished(times.budget)):
                metrics = self._one_iteration()
                self.seconds = self._watch.seconds
                if self.leads and times.due(self.seconds):
                    bar.set_postfix_str("measuring")
                    begun = self._watch.seconds
                    with self._watch.compiling("a measurement"):
                        metrics |= self._measure(measure, times.each)
                        self._log(metrics, bar)
                        write_report(self.path, self.env)
                    times.took(begun, self._watch.seconds)
                else:
                    self._log(metrics, bar)
                if self.config.keep_best and self._all_agree(self.saver.is_best(metrics.get("strength"))):
                    self._save(best=True)
                if self._all_agree(self.seconds >= next_save):
                    self._save()
                    next_save = self._watch.seconds + self.saver.interval
        self._save()
        strength = None
        if not self._all_agree(self.signals.stop):
            strength = self._finish(final, times.final(final)) if self.leads else None
            self._all_agree(True)  # a process that ends early would end the one that still measures
        if self.leads and strength is None:
            print(f"stopped and saved; resume with: {resume_command(self.experiment, self.path)}")
            write_report(self.path, self.env, stopped=True)
        return strength

    @contextmanager
    def _program(self, name: str) -> Iterator[None]:
        """Surrounds a call of one of the compiled programs."""
        if self._watch.ran(name):
            yield
            return
        with self.signals.end_by_sigterm(), self._watch.compiling(name):
            yield

    def _say_if_late(self, seconds: float) -> None:
        """Says once which options make updates start soon, if iterations of this length do not."""
        late = late_update(self.config.train, seconds, 60 * self.config.minutes)
        if late and not self._advised:
            self._advised = True
            say(late)

    def _measure(self, measure: Measure, seconds: float) -> dict[str, float]:
        """Strength for the metrics, {} if `seconds` do not suffice or a signal came; new sample games after the
        first update.
        """
        agent = self.agent()
        with self.signals.leave_at_once():
            strength = take(measure, agent, seconds)
            tqdm.write(f"{duration(self.seconds)}, {self.positions:,} positions: {strength}")
            if int(self.state.updates):
                with self._watch.compiling("sample games"):
                    record_samples(self._directory, agent, self.config.train.seed, seconds)
            if not math.isnan(strength.value):
                return {
                    "strength": strength.value,
                    "strength_low": strength.low,
                    "strength_high": strength.high,
                }
        return {}

    def _recall(self, metrics: list[Json]) -> None:
        """Restores the totals and the latest strength of the resumed run."""
        for line in metrics:
            self._totals |= {name: line[name] for name in self._totals if line.get(name) is not None}
            self._strength = line.get("strength", self._strength)

    def _progress(self) -> np.float32:
        """Share of the run that is done: of its iterations if they are limited, else of its time."""
        limit = self.config.iterations
        passed = self.iteration / limit if limit else self.seconds / (60 * self.config.minutes)
        return of_first_process(np.float32(min(passed, 1.0)))

    def _all_agree(self, decision: bool) -> bool:
        """The first process's `decision`: clocks and signals differ between processes, which must all do the
        same.
        """
        return bool(of_first_process(np.bool_(decision)))

    def _finished(self, budget: float) -> bool:
        limit, target = self.config.iterations, self.config.target
        reached = target is not None and self._strength is not None and self._strength >= target
        return reached or self.seconds >= budget or (limit is not None and self.iteration >= limit)

    def _one_iteration(self) -> Json:
        """Runs self-play and updates; returns metrics of both, with speeds."""
        train = self.config.train
        clock = self._watch.clock
        begun, compiled = clock(), self._watch.ran("self-play")
        progress = self._progress()
        with self._program("self-play"):
            self.state, metrics = self.program.play(self.state, progress)
            play_metrics = read(metrics)
        learned = int(self.state.updates) > 0
        self._check_finite(play_metrics, "self-play", lambda: cause_in_play(*self._now(), learned=learned))
        played = clock()
        losses: dict[str, float] = {}
        if self.iteration > self._first_update:
            with self._program("the updates"):
                self.state, metrics = self.program.learn(self.state, progress)
                losses = read(metrics)
            later = train.updates - round(losses.pop("updates_averaged"))
            number = int(self.state.updates) - later
            self._check_finite(
                losses, f"update {number}", lambda: cause_in_update(*self._now(), losses, learned=number > 1)
            )
        elif compiled:
            self._say_if_late(played - begun)
        learned = clock()
        positions = train.games * train.plies
        evaluations = positions * play_metrics.pop("evaluations_per_position")
        self._totals["evaluations"] += evaluations
        self._totals["games"] += round(play_metrics["games_finished_share"] * positions)
        self._advice.after(self.iteration, self.positions, self._totals["games"], play_metrics, losses)
        samples = train.batch_size // jax.device_count()
        again = jax.device_count() * self.algorithm.searched_again(samples) if losses else 0
        rates = speeds(train, evaluations, again, played - begun, learned - played, updated=bool(losses))
        return {
            "iteration": self.iteration,
            "positions": self.positions,
            "updates": int(self.state.updates),
            **self._totals,
            **rates,
            "replay_ratio": int(self.state.updates) * train.batch_size / self.positions,
            **losses,
            **play_metrics,
        }

    def _now(self) -> tuple[Agent, States]:
        """The agent, and the current states of the games on this process's first device."""
        states = jax.tree.map(lambda x: x.addressable_data(0), self.state.games.states)
        return self.agent(), states

    def _check_finite(self, metrics: dict[str, float], where: str, cause: Callable[[], str]) -> None:
        saved = self.saver.saved_iteration >= 0
        go_on = resume_command(self.experiment, self.path) if saved else ""
        where = f"iteration {self.iteration} ({where})"
        check_finite(metrics, where, cause, go_on)

    def _log(self, metrics: Json, bar: tqdm) -> None:
        if self.dir is None:
            return
        metrics = {"iteration": metrics["iteration"], "seconds": self.seconds, **metrics}
        self.dir.append_metrics(metrics)
        for logger in self.loggers:
            logger.log(metrics["iteration"], metrics)
        bar.n = min(round(self.seconds), bar.total)
        self._strength = metrics.get("strength", self._strength)
        bar.set_postfix_str(speeds_words(metrics, self._strength))

    def _save(self, *, best: bool = False) -> None:
        self.saver.save(self.state, self.seconds, best=best)

    def _finish(self, final: Measure, seconds: float) -> Strength | None:
        """The final strength, with its files; None if a signal came."""
        agent, strength = self.agent(), None
        begun = self._watch.clock()
        with self.signals.leave_at_once():
            with working("final measurement"):
                strength = take(final, agent, seconds)
            print(f"final measurement: {duration(self._watch.clock() - begun)}")
            with working("sample games for the report: compiling and playing"):
                record_samples(self._directory, agent, self.config.train.seed, seconds, analysed=ANALYSED)
        if strength is None:
            return None
        self._directory.write_json(
            "result.json",
            {
                "strength": strength._asdict(),
                "seconds": self.seconds,
                "positions": self.positions,
                "iterations": self.iteration,
                "updates": int(self.state.updates),
                "seed": self.config.train.seed,
            },
        )
        report = write_report(self.path, self.env)
        print(f"{speeds_line(read_metrics(self.path))}\nreport: {report}")
        if not int(self.state.updates):
            print(nothing_learned(self.config.train))
        print(strength)
        return strength


_BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}, {remaining} left"
