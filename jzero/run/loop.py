"""The Python loop around the compiled program: clock, bar, log, evaluation, checkpoints, signals."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from jax.experimental import multihost_utils
from tqdm import tqdm

from jzero.agent import Agent
from jzero.algorithms.batch import reanalysed_samples
from jzero.algorithms.muzero import known_roots
from jzero.config import TrainConfig, check, differences, from_dict
from jzero.devices import set_up
from jzero.env import Env, action_size, make
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.record import record_games
from jzero.program import Program, TrainState, begin_new_games, make_program
from jzero.run.accelerators import in_bfloat16, widened
from jzero.run.describe import check_memory, describe
from jzero.show.curves import speeds_line
from jzero.show.report import write_report
from jzero.show.words import duration, short_number
from jzero.storage import checkpoint
from jzero.storage.loggers import make_loggers
from jzero.storage.run_dir import CONFIG, RunDir, RunDirError, read_json, read_metrics, resume_command

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunConfig:
    """One run: how long, where, how often it reports, and what it trains."""

    minutes: float = 10.0
    """Wall-clock budget in minutes, over all resumes; the final evaluation comes on top."""
    iterations: int | None = None
    """Stop after this many iterations even if time is left."""
    target: float | None = None
    """Stop as soon as a measurement of strength reaches this."""
    run_dir: Path | None = None
    """Directory of the run; a new one under runs/ by default."""
    resume: bool = False
    """Go on with the run in --run-dir (or the newest one); its settings become the defaults."""
    evaluate_every: float = 60.0
    """Seconds between measurements of strength; at least twice what the last one and its report took, if that is
    more than a second."""
    checkpoint_every: float = 120.0
    """Seconds between checkpoints."""
    tensorboard: bool = False
    """Also log to TensorBoard (pip install "jzero[log]")."""
    wandb: bool = False
    """Also log to Weights & Biases (pip install "jzero[log]")."""
    cpu_devices: int | None = None
    """CPU devices of this process; one a core by default."""
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check("minutes", self.minutes, above=0)
        check("evaluate_every", self.evaluate_every, above=0)
        check("checkpoint_every", self.checkpoint_every, above=0)
        if self.iterations is not None:
            check("iterations", self.iterations, low=1)
        if self.cpu_devices is not None:
            check("cpu_devices", self.cpu_devices, low=1)


Preset = RunConfig | Callable[[str, Env], RunConfig]
"""Settings, or a function that makes them of an environment's name and the environment."""
Presets = Preset | Mapping[Any, Preset]
"""An experiment's preset, or one for each value of --algorithm, the first being the default."""


def main(
    experiment: str,
    default: Presets,
    measure: Callable[[Env], Measure],
    final: Callable[[Env], Measure] | None = None,
    accelerated: Presets | None = None,
    argv: Sequence[str] | None = None,
) -> Strength | None:
    """The command line of an experiment: parses the options, trains, prints the strength.

    Args:
      experiment: its name, and the folder under runs/.
      default: its preset, or one for each algorithm.
      measure: makes the measurement taken every `evaluate_every` seconds.
      final: makes the one at the end, if it is another.
      accelerated: the preset where JAX finds a GPU or TPU; by default `default`, `widened`. Either computes in
        bfloat16 there unless the options say otherwise: see `jzero.run.accelerators`.
      argv: the options; by default the process's.

    Returns:
      The final strength; None if the run was interrupted.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        config = parse(experiment, default, argv)
        set_up(cpu_devices=config.cpu_devices)
        if jax.default_backend() != "cpu":
            default = _each(default, widened) if accelerated is None else accelerated
            default = _each(default, in_bfloat16)
            config = parse(experiment, default, argv)
        env = make(config.train.env)
        preset = _preset(default, argv)
        if callable(preset) and not config.resume:
            config = parse(experiment, preset(config.train.env, env), argv)
        with Run(experiment, env, config, _command()) as run:
            measured = measure(env)
            return run.train(measured, final(env) if final is not None else measured)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if os.environ.get("JZERO_TRACEBACK"):
            raise
        raise SystemExit(f"error: {error}") from error


def _each(presets: Presets, change: Callable[[TrainConfig], TrainConfig]) -> Presets:
    """`presets` with their settings changed."""

    def changed(preset: Preset) -> Preset:
        if callable(preset):
            return lambda name, env: changed_run(preset(name, env))
        return changed_run(preset)

    def changed_run(run: RunConfig) -> RunConfig:
        return dataclasses.replace(run, train=change(run.train))

    if isinstance(presets, Mapping):
        return {name: changed(preset) for name, preset in presets.items()}
    return changed(presets)


@dataclass(frozen=True)
class _Environment:
    """The options that say what is played, and on what."""

    env: str = TrainConfig.env
    cpu_devices: int | None = None


def parse(experiment: str, presets: Presets, argv: Sequence[str]) -> RunConfig:
    """The options `argv` over the preset or, with --resume, over the settings of the run to go on with.

    Of a preset that follows from the environment only `_Environment` is read: the other options may fit it alone.
    """
    preset = _preset(presets, argv)
    if callable(preset) and not {"-h", "--help", "--resume"} & set(argv):
        played, _ = tyro.cli(_Environment, args=argv, return_unknown_args=True)
        return RunConfig(cpu_devices=played.cpu_devices, train=TrainConfig(env=played.env))
    default = RunConfig() if callable(preset) else preset
    description = f"Trains and measures {experiment}. A finished or interrupted run goes on with --resume."
    config = tyro.cli(RunConfig, args=argv, default=default, description=description)
    if not config.resume:
        return config
    saved = _saved_config(experiment, config.run_dir)
    return tyro.cli(
        RunConfig, args=argv, default=dataclasses.replace(default, train=saved), description=description
    )


def _preset(presets: Presets, argv: Sequence[str]) -> Preset:
    """The preset of the algorithm that the options name."""
    if not isinstance(presets, Mapping):
        return presets
    options = " ".join(argv).replace("--algorithm=", "--algorithm ").split()
    chosen = next(iter(presets))
    if "--algorithm" in options[:-1]:
        chosen = options[options.index("--algorithm") + 1]
    if chosen not in presets and not {"-h", "--help"} & set(options):
        raise ValueError(f"algorithm is {chosen!r}; this experiment has presets for {', '.join(presets)}")
    return presets.get(chosen, next(iter(presets.values())))


def _command() -> str:
    """The script that this process runs, as one would type it; "" where there is none (a notebook)."""
    script = Path(sys.argv[0])
    if script.suffix != ".py" or not script.is_file() or "ipykernel" in script.name:
        return ""
    here = Path.cwd()
    script = script.resolve()
    return f"python {script.relative_to(here) if script.is_relative_to(here) else script}"


def _saved_config(experiment: str, run_dir: Path | None) -> TrainConfig:
    path = run_dir if run_dir is not None else RunDir.find(experiment)
    record = read_json(path / CONFIG)
    if record is None:
        raise RunDirError(f"run directory {path} holds no run to resume (no {CONFIG})")
    return from_dict(TrainConfig, record["config"]["train"])


class Run:
    """A run in progress: its directory, program and state. Use as a context manager."""

    def __init__(self, experiment: str, env: Env, config: RunConfig, command: str = "") -> None:
        """Takes the run directory and restores or makes the state.

        Args:
          experiment: its name, and the folder under runs/.
          env: what is played.
          config: the settings.
          command: what starts it on a command line, for the line that says how to go on with it.

        Raises:
          RunDirError: the directory cannot be used.
          ValueError: a setting does not fit the devices, the environment, or the checkpoint.
        """
        self.experiment, self.env, self.config = experiment, env, config
        self.program: Program = make_program(env, config.train)
        self.leads = jax.process_index() == 0
        if jax.process_count() > 1 and config.run_dir is None:
            raise ValueError(
                "run_dir is not given; with several processes give all of them the same --run-dir"
            )
        if config.resume:
            self._check_resumable(config.run_dir or RunDir.find(experiment))
        check_memory(env, config.train, self.program.abstract)
        device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
        self.dir: RunDir | None = None
        if self.leads:
            self.dir = RunDir.create(
                config.run_dir, experiment, config, config.resume, device=device, command=command
            )
        self.path = self.dir.path if self.dir is not None else Path(str(config.run_dir))
        if self.leads:  # before any of the memory that it speaks of is taken
            said = describe(env, config.train, self.program.abstract)
            print(f"{experiment}: {said}\nrun directory: {self.path}")
        self.seconds = 0.0
        self.saved_iteration = -1
        if config.resume:
            template = {"state": self.program.abstract, "seconds": np.float32(0)}
            self.saved_iteration, saved = checkpoint.restore(self.path / CHECKPOINTS, template)
            self.state: TrainState = saved["state"]
            if getattr(env, "external", False):
                renew = jax.jit(partial(begin_new_games, env, config.train), donate_argnums=0)
                self.state = renew(self.state)
            self.seconds = float(saved["seconds"])
        else:
            self.state = self.program.init()
        self._agent = Agent(env, config.train, self.state.averaged)
        self._totals = {"games": 0.0, "evaluations": 0.0}
        self._strength: float | None = None
        self.loggers = []
        if self.dir is not None:
            if config.resume:
                self.dir.rewind_metrics(self.saved_iteration)
                self._recall(read_metrics(self.path))
            self.loggers = make_loggers(
                self.path,
                config.tensorboard,
                config.wandb,
                dataclasses.asdict(config),
                resumed_at=self.iteration if config.resume else None,
            )
        self._stop = False
        self._warned: set[str] = set()

    def __enter__(self) -> Run:
        """Catches Ctrl-C and SIGTERM until the run is left."""
        self._handlers = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        """Gives the signals, the loggers and the directory back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for logger in self.loggers:
            logger.close()
        if self.dir is not None:
            self.dir.close()

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return int(self.state.iteration)

    @property
    def positions(self) -> int:
        """Positions played so far."""
        return self.iteration * self.config.train.games * self.config.train.plies

    def agent(self) -> Agent:
        """The agent as it is now."""
        return self._agent.with_params(self.state.averaged)

    def train(self, measure: Measure, final: Measure) -> Strength | None:
        """Trains until the time or the iterations are used up, then measures and writes the result.

        Args:
          measure: taken every `evaluate_every` seconds.
          final: taken at the end.

        Returns:
          The final strength; None if a signal stopped the run, which then was saved.

        Raises:
          FloatingPointError: a metric is not finite; nothing of that iteration is saved.
        """
        started = time.monotonic() - self.seconds
        budget = 60 * self.config.minutes
        next_save, next_measure = self.seconds + self.config.checkpoint_every, self.seconds
        spent = 0.0  # by the last measurement and its report
        bar = tqdm(total=round(budget), initial=round(self.seconds), bar_format=_BAR, disable=not self.leads)
        with bar:
            bar.set_postfix_str("compiling")
            while not self._all_agree(self._stop or self._finished(budget)):
                metrics = self._one_iteration()
                self.seconds = time.monotonic() - started
                # One that would end after the time is up is left to the final one.
                if self.leads and self.seconds >= next_measure and self.seconds + spent < budget:
                    bar.set_postfix_str("measuring")
                    metrics |= self._measure(measure)
                self._log(metrics, bar)
                if "strength" in metrics:
                    now = time.monotonic() - started
                    spent = now - self.seconds
                    # Where games are long, most of the time is for training all the same; a second does not count.
                    next_measure = now + max(self.config.evaluate_every, 2 * (spent - 1))
                if self._all_agree(self.seconds >= next_save):
                    self._save()
                    next_save = time.monotonic() - started + self.config.checkpoint_every
        self._save()
        if self._all_agree(self._stop):
            if self.leads:
                print(f"stopped and saved; go on with: {resume_command(self.experiment, self.path)}")
            return None
        strength = self._finish(final) if self.leads else None
        self._all_agree(True)  # a process that ends early would end the one that still measures
        return strength

    def _measure(self, measure: Measure) -> dict[str, float]:
        """Strength for the metrics; new sample games for the report."""
        agent = self.agent()
        strength = measure(agent)
        tqdm.write(f"{duration(self.seconds)}, {self.positions:,} positions: {strength}")
        self._record_games(agent)
        return {
            "strength": strength.value,
            "strength_low": strength.low,
            "strength_high": strength.high,
        }

    def _record_games(self, agent: Agent) -> None:
        """Games for the report, where the environment can draw them."""
        assert self.dir is not None
        if not hasattr(self.env, "svg") or action_size(self.env):  # a record is of numbered actions
            return
        games = record_games(agent, num_games=4, key=jax.random.key(self.config.train.seed))
        self.dir.write_json("games.json", games)

    def _recall(self, metrics: list[dict[str, Any]]) -> None:
        """Takes up the totals and the latest strength of the run that is resumed."""
        for line in metrics:
            self._totals |= {name: line[name] for name in self._totals if line.get(name) is not None}
            self._strength = line.get("strength", self._strength)

    def _all_agree(self, decision: bool) -> bool:
        """The first process's `decision`: clocks and signals differ, but all must do the same."""
        if jax.process_count() == 1:
            return decision
        return bool(multihost_utils.broadcast_one_to_all(np.bool_(decision)))

    def _finished(self, budget: float) -> bool:
        limit, target = self.config.iterations, self.config.target
        reached = target is not None and self._strength is not None and self._strength >= target
        return reached or self.seconds >= budget or (limit is not None and self.iteration >= limit)

    def _one_iteration(self) -> dict[str, Any]:
        """Self-play and updates; metrics of both, with speeds."""
        train = self.config.train
        begun = time.monotonic()
        self.state, metrics = self.program.play(self.state)
        play_metrics = {name: float(value) for name, value in metrics.items()}
        self._check_finite(play_metrics, "self-play")
        played = time.monotonic()
        losses: dict[str, float] = {}
        if self.iteration > train.warmup_iterations:
            self.state, metrics = self.program.learn(self.state)
            losses = {name: float(value) for name, value in metrics.items()}
            later = train.updates - round(losses.pop("updates_averaged"))
            losses = known_roots(losses)
            self._check_finite(losses, f"update {int(self.state.updates) - later}")
        self._warn_of_clipping(losses)
        if not play_metrics["games_finished_share"]:
            del play_metrics["game_length"], play_metrics["first_player_return"]
        if not play_metrics.get("resign_checks", 1):
            del play_metrics["resign_error_share"]
        learned = time.monotonic()
        positions = train.games * train.plies
        evaluations = positions * play_metrics.pop("evaluations_per_position")
        self._totals["evaluations"] += evaluations
        self._totals["games"] += round(play_metrics["games_finished_share"] * positions)
        self._warn_of_short_games()
        self._warn_of_lost_positions(play_metrics["lost_share"])
        rates = speeds(
            train, jax.device_count(), evaluations, played - begun, learned - played, updated=bool(losses)
        )
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

    def _check_finite(self, metrics: dict[str, float], where: str) -> None:
        bad = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(
                f"{', '.join(bad)} in iteration {self.iteration} ({where}); the run was "
                f"stopped and this iteration not saved: lower --learning-rate or --max-grad-norm, then "
                f"{resume_command(self.experiment, self.path)}"
            )

    def _warn_of_clipping(self, losses: dict[str, float]) -> None:
        """Says once when targets lie outside of what the heads can express."""
        for kind in ("value", "reward"):
            share = losses.get(f"{kind}_clipped_share", 0.0)
            if share > 0 and kind not in self._warned:
                self._warned.add(kind)
                limit = getattr(self.config.train.muzero, f"{kind}_limit")
                warnings.warn(
                    f"{share:.2%} of the {kind} targets of iteration {self.iteration} are outside of "
                    f"+-{limit:g} and were clamped; raise --muzero.{kind}-limit in a new run",
                    stacklevel=2,
                )

    def _warn_of_short_games(self) -> None:
        """Says once when a learned model is unrolled beyond the end of most games."""
        train, games = self.config.train, self._totals["games"]
        steps = train.muzero.unroll_steps
        # Of all so far: the games that end in the first iterations are the shortest ones.
        if train.algorithm == "alphazero" or self.positions >= steps * games or "unroll" in self._warned:
            return
        self._warned.add("unroll")
        warnings.warn(
            f"games end after {self.positions / games:.1f} plies on average, and muzero.unroll_steps is {steps}: "
            "most unrolled steps are past the end, where there is nothing to learn; lower --muzero.unroll-steps in "
            "a new run",
            stacklevel=2,
        )

    def _warn_of_lost_positions(self, share: float) -> None:
        """Says once when positions leave the ring before their game has ended, unlearned."""
        if not share or "lost" in self._warned:
            return
        self._warned.add("lost")
        train = self.config.train
        sooner = "--td-lookahead 24" if train.algorithm == "alphazero" else "--muzero.td-steps 10"
        warnings.warn(
            f"in iteration {self.iteration} {share:.0%} as many positions as were played left the replay before "
            "their game had ended, and were never learned from: games are longer than replay_plies, "
            f"{train.replay_plies}; raise --replay-plies, or learn before the end with {sooner}, in a new run",
            stacklevel=2,
        )

    def _log(self, metrics: dict[str, Any], bar: tqdm) -> None:
        if self.dir is None:
            return
        metrics = {"iteration": metrics["iteration"], "seconds": self.seconds, **metrics}
        self.dir.append_metrics(metrics)
        for logger in self.loggers:
            logger.log(metrics["iteration"], metrics)
        bar.n = min(round(self.seconds), bar.total)
        self._strength = metrics.get("strength", self._strength)
        shown = [
            f"{short_number(metrics['positions_per_second'])} pos/s",
            f"{short_number(metrics['evaluations_per_second'])} eval/s",
        ]
        shown += [f"loss {metrics['loss']:.3f}"] if "loss" in metrics else []
        shown += [f"strength {self._strength:.3f}"] if self._strength is not None else []
        bar.set_postfix_str(", ".join(shown))
        if "strength" in metrics:
            write_report(self.path, self.env)

    def _save(self) -> None:
        if self.iteration != self.saved_iteration:
            checkpoint.save(
                self.path / CHECKPOINTS,
                self.iteration,
                {"state": self.state, "seconds": np.float32(self.seconds)},
            )
            self.saved_iteration = self.iteration

    def _finish(self, final: Measure) -> Strength:
        print("final measurement:", end=" ", flush=True)
        agent = self.agent()
        begun = time.monotonic()
        strength = final(agent)
        print(duration(time.monotonic() - begun))
        assert self.dir is not None
        self._record_games(agent)
        self.dir.write_json(
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
            first = self.config.train.warmup_iterations + 1
            print(f"nothing was learned: the first update is in iteration {first}; give it more time")
        print(strength)
        return strength

    def _check_resumable(self, path: Path) -> None:
        saved = _saved_config(self.experiment, path)
        fixed = (
            "env",
            "seed",
            "algorithm",
            "games",
            "plies",
            "replay_plies",
            "network",
            "muzero",
            "ema_decay",
        )
        changed = [
            line
            for line in differences(saved, self.config.train)
            if line.split(" ")[0].split(".")[0] in fixed
        ]
        if changed:
            raise ValueError(
                f"the checkpoint in {path} does not fit: {'; '.join(changed)}; leave these options out to resume, "
                f"or start a new run"
            )

    def _on_signal(self, number: int, frame: Any) -> None:
        """The first signal lets the iteration end and saves; a second one ends the process at once."""
        del frame
        if self._stop:
            os._exit(128 + number)
        self._stop = True
        print("\nstopping after this iteration (again to quit at once without saving)", file=sys.stderr)


def speeds(
    train: TrainConfig,
    num_devices: int,
    evaluations: float,
    play_seconds: float,
    learn_seconds: float,
    *,
    updated: bool,
) -> dict[str, float]:
    """What one iteration did in a second, and the share of self-play in its time.

    Positions are by all of its time, evaluations by that of self-play, updates and the positions that they search
    again (reanalyse) by that of learning.

    Args:
      train: the settings.
      num_devices: that batches are split over.
      evaluations: of its self-play.
      play_seconds: of self-play.
      learn_seconds: of learning.
      updated: it had updates; there are none during warm-up.
    """
    seconds = play_seconds + learn_seconds
    found = {
        "positions_per_second": train.games * train.plies / seconds,
        "evaluations_per_second": evaluations / play_seconds,
        "self_play_share": play_seconds / seconds,
    }
    if updated:
        found["updates_per_second"] = train.updates / learn_seconds
        if train.algorithm != "alphazero" and train.muzero.reanalyse:
            samples = num_devices * reanalysed_samples(train.muzero, train.batch_size // num_devices)
            again = train.updates * samples * (train.muzero.unroll_steps + 1)
            found["reanalysed_per_second"] = again / learn_seconds
    return found


_BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}, {remaining} left"
