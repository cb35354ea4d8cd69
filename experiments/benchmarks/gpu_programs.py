"""Measurements of whole programs for gpu.py: self-play, updates, and a short training run with its strength.

Axes: B games, N simulations.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import blob
import connect_four
import jax
import jax.numpy as jnp
import tic_tac_toe_muzero
from gpu_parts import CALLS, many
from gpu_rig import GRAPHS, MODES, USUAL, Cell, Lazy, Mode, Rig, Skipped, lower
from gpu_trace import device_time
from jzero_envs.blob import Blob
from jzero_envs.connect_four import ConnectFour
from jzero_envs.quoridor import Quoridor
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.env import Env, reveal_batch
from jzero.env_spec import describe
from jzero.evaluate.record import record_games
from jzero.metrics import read
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings, policy_value_network
from jzero.program import Program
from jzero.run.accelerators import in_bfloat16, widened
from jzero.run.build import build, build_agent, build_algorithm, build_program
from jzero.run.config import RunConfig, TrainConfig
from jzero.run.loop import Run
from jzero.run.presets import learned_presets
from jzero.run.speeds import speeds
from jzero.self_play import start_games
from jzero.storage.run_dir import read_metrics

ALONE = {"network alone": Mode("auto", None), "network alone, graphs": Mode("auto", GRAPHS)}
"""The network of a program without search and environment: the upper bound."""


def tiny(train: TrainConfig) -> TrainConfig:
    """The same settings, small enough for a CPU to compile and run in seconds."""
    return replace(
        train,
        search=replace(train.search, num_simulations=4),
        network=replace(train.network, kind="mlp", width=16, blocks=1, bf16=False),
        games=8,
        plies=4,
        replay_plies=32,
        batch_size=16,
        updates=2,
    )


def _settings(rig: Rig, network: NetworkSettings, games: int, plies: int = 4) -> TrainConfig:
    """Self-play of `games` with 64 simulations, and a small replay."""
    search = SearchSettings(policy="gumbel", num_simulations=64)
    train = TrainConfig(search=search, network=network, games=games, plies=plies, replay_plies=8 * plies)
    return tiny(train) if rig.tiny else train


class Playing:
    """Self-play of one configuration in several modes, and its network alone."""

    def __init__(self, rig: Rig, env: Env, train: TrainConfig, modes: Mapping[str, Mode]) -> None:
        self.rig, self.train = rig, train
        self.state: Any = None

        self.programs = rig.compile_modes(lambda: lower(build_program(env, train), "play"), modes)
        self.first = {"init": rig.compile(lambda: lower(build_program(env, train), "init"))}
        make_inputs = self._network_inputs(env)
        self.first["inputs"] = rig.compile(jax.jit(make_inputs).lower)
        abstract = jax.eval_shape(make_inputs)
        apply = policy_value_network(describe(env), train.network).apply
        self.alone = rig.compile_modes(lambda: jax.jit(many(apply)).lower(*abstract), ALONE)

    def _network_inputs(self, env: Env) -> Callable[[], tuple[Any, Any]]:
        """Makes weights and observations of all worlds of all games, in the dtype that the network computes in."""
        train, dtype = self.train, jnp.bfloat16 if self.train.network.bf16 else jnp.float32

        def make() -> tuple[Any, Any]:
            key, algorithm = jax.random.key(0), build_algorithm(env, train)
            views = reveal_batch(env, start_games(env, train, key, train.games).states)
            rows = jax.tree.map(lambda x: jnp.repeat(x, train.search.worlds, axis=0).astype(dtype), views)
            return algorithm.model.prepare(algorithm.init(key)), rows

        return make

    def run(self, program: Any) -> tuple[float, float]:
        """Median seconds and number of evaluations of an iteration."""
        if self.state is None:
            self.state = self.first["init"].result()()
        seconds, metrics = [], {}
        for number in range(2 if self.rig.tiny else 4):  # the first makes the graphs
            begun = time.perf_counter()
            self.state, metrics = jax.block_until_ready(program(self.state))
            if number:
                seconds.append(time.perf_counter() - begun)
        positions = self.train.games * self.train.plies
        return statistics.median(seconds), positions * read(metrics)["evaluations_per_position"]

    def measure(self) -> dict[str, Any]:
        """Speeds in every mode, and evaluations as a share of those of the network alone."""
        rows = self.train.games * self.train.search.worlds
        self.rig.ready(self.first)
        inputs = self.first["inputs"].result()()
        alone, missing = self.rig.ready(self.alone)
        rates = {}
        for name, program in alone.items():
            rates[name] = rows * CALLS / self.rig.median(lambda program=program: program(*inputs), 5)
        ceiling = max(rates.values(), default=float("nan"))
        programs, failed = self.rig.ready(self.programs)
        missing |= failed
        found = {}
        for mode, program in programs.items():
            try:
                seconds, evaluations = self.run(program)
            except Exception as error:
                self.state = None  # it was donated
                missing[mode] = f"{type(error).__name__}: {str(error)[:300]}"
                continue
            found[mode] = {
                "positions_per_second": round(self.train.games * self.train.plies / seconds),
                "evaluations_per_second": round(evaluations / seconds),
                "share_of_ceiling": round(evaluations / seconds / ceiling, 3),
            }
        network_alone = {name: round(rate) for name, rate in rates.items()}
        return {"modes": found, "network_alone_evaluations_per_second": network_alone} | (
            {"missing": missing} if missing else {}
        )

    def trace(self) -> dict[str, Any]:
        """The device's time in one iteration, in the mode `kernels`, else `walk`."""
        programs, missing = self.rig.ready(self.programs)
        mode = next((mode for mode in ("kernels", "walk") if mode in programs), None)
        if mode is None:
            raise Skipped(f"no program: {missing}")
        self.run(programs[mode])

        def once() -> Any:
            self.state, metrics = programs[mode](self.state)
            return metrics

        return {"mode": mode} | device_time(once)


def play(rig: Rig) -> list[Cell]:
    """Connect Four's self-play: a residual tower without and with normalisation, and the preset's MLP."""
    layer = NetworkSettings(kind="resnet", width=64, blocks=6, bf16=True)
    none, mlp = replace(layer, norm="none"), NetworkSettings(kind="mlp", width=384, blocks=3, bf16=True)
    kernels = {"kernels": MODES["kernels"]}
    grid = [(none, 1024, MODES), (none, 4096, kernels), (layer, 1024, kernels), (mlp, 8192, kernels)]
    cells = []
    for network, games, modes in grid[:1] if rig.tiny else grid:
        playing = Playing(rig, ConnectFour(), _settings(rig, network, games), modes)
        labels = _labels("connect_four", playing.train)
        cells.append(Cell(labels, playing.measure))
        if network == none:
            cells.append(Cell(labels | {"what": "trace"}, playing.trace))
    return cells


def games(rig: Rig) -> list[Cell]:
    """Self-play of games with costlier rules: Quoridor 9x9, Blob with its preset, pgx's Go 9x9."""
    small = NetworkSettings(kind="resnet", width=64, blocks=5, bf16=True)
    large = NetworkSettings(kind="resnet", width=128, blocks=6, bf16=True)
    cards = replace(in_bfloat16(widened(blob.PRESET.train)), plies=4, replay_plies=32)
    chosen: list[tuple[str, Env, TrainConfig]] = [
        ("quoridor 9x9", Quoridor(size=5, walls=3) if rig.tiny else Quoridor(), _settings(rig, small, 1024)),
        ("blob, 4 players, 5 cards", Blob(), tiny(cards) if rig.tiny else cards),
    ]
    if importlib.util.find_spec("pgx") is not None and not rig.tiny:
        from jzero_envs.adapters.pgx import make

        chosen.append(("go 9x9 (pgx)", make("go_9x9"), _settings(rig, large, 1024)))
    return [
        Cell(_labels(name, train), Playing(rig, env, train, USUAL).measure) for name, env, train in chosen
    ]


def _labels(name: str, train: TrainConfig) -> dict[str, Any]:
    network, search = train.network, train.search
    return {
        "game": name,
        "network": f"{network.kind} {network.blocks}x{network.width}{' bf16' if network.bf16 else ''}",
        "norm": network.norm,
        "B": train.games,
        "N": search.num_simulations,
        "worlds": search.worlds,
    }


def updates(rig: Rig) -> list[Cell]:
    """Updates per second, and reanalysed positions per second of learned models."""
    presets = learned_presets(tic_tac_toe_muzero.GUMBEL_MUZERO)
    muzero = replace(presets["gumbel_muzero"].train, updates=100)
    efficient = replace(presets["efficientzero"].train, updates=20)
    again = replace(efficient, muzero=replace(efficient.muzero, reanalyse=0.99))
    chosen = [
        ("connect_four", ConnectFour(), in_bfloat16(connect_four.ACCELERATED.train)),
        ("tic_tac_toe", TicTacToe(), muzero),
        ("tic_tac_toe", TicTacToe(), again),
    ]
    if rig.tiny:  # EfficientZero's updates hold those of MuZero
        chosen = [(name, env, tiny(train)) for name, env, train in chosen[::2]]
    return [_updates_cell(rig, *one) for one in chosen]


def _compile_run(rig: Rig, program: Program) -> dict[str, Future | Lazy]:
    """The functions of a run. On a CPU `learn` is not compiled ahead: it dispatches its updates one by one."""
    futures: dict[str, Future | Lazy] = {
        name: rig.compile(partial(lower, program, name)) for name in ("init", "play")
    }
    if jax.default_backend() == "cpu":
        return futures | {"learn": rig.later(lambda: program.learn)}
    return futures | {"learn": rig.compile(partial(lower, program, "learn"))}


def _updates_cell(rig: Rig, name: str, env: Env, train: TrainConfig) -> Cell:
    algorithm, program = build(env, train)
    futures = _compile_run(rig, program)

    def measure() -> dict[str, Any]:
        made, missing = rig.ready(futures)
        if missing:
            raise Skipped(str(missing))
        state = made["init"]()
        for _ in range(4):  # so that the replay holds finished games
            state, _ = made["play"](state)
        seconds = []
        for number in range(2 if rig.tiny else 5):
            begun = time.perf_counter()
            state, _ = jax.block_until_ready(made["learn"](state))
            if number:
                seconds.append(time.perf_counter() - begun)
        devices = jax.device_count()
        again = devices * algorithm.searched_again(train.batch_size // devices)
        rates = speeds(train, 0.0, again, 1.0, statistics.median(seconds), updated=True)
        wanted = ("updates_per_second", "reanalysed_per_second")
        return {rate: round(rates[rate], 1) for rate in wanted if rate in rates}

    labels = {
        "game": name,
        "algorithm": train.algorithm,
        "batch_size": train.batch_size,
        "reanalyse": train.muzero.reanalyse if train.algorithm != "alphazero" else 0.0,
    }
    return Cell(labels, measure)


def training(rig: Rig) -> list[Cell]:
    """Connect Four, trained for two minutes as by `experiments/connect_four.py` on a GPU, then measured."""
    preset = connect_four.ACCELERATED
    return [training_cell(rig, replace(preset, minutes=2, train=in_bfloat16(preset.train)), "accelerated")]


def training_cell(rig: Rig, config: RunConfig, name: str) -> Cell:
    """A run of Connect Four, called `name`."""
    env = ConnectFour()
    if rig.tiny:
        config = replace(config, minutes=0.05, train=tiny(config.train))
    config = replace(config, evaluate_every=15, checkpoint_every=1e9)
    measure_strength = connect_four.MEASURE(env)
    program = build_program(env, config.train)
    futures = _compile_run(rig, program)  # into JAX's cache on disk, where Run finds them

    def measure_untrained() -> Any:
        agent = build_agent(env, config.train, program.init().averaged)
        record_games(agent, num_games=4, key=jax.random.key(0))
        return measure_strength(agent)

    futures["untrained"] = rig.later(measure_untrained)

    def measure() -> dict[str, Any]:
        made, missing = rig.ready(futures)
        minutes = min(config.minutes, (rig.end - time.monotonic() - 15) / 60)
        if minutes < config.minutes / 3:
            raise Skipped(f"{minutes:.1f} minutes are left")
        with tempfile.TemporaryDirectory() as folder:
            one = replace(config, minutes=minutes, run_dir=Path(folder) / "run")
            with Run("connect_four", env, one) as run:
                strength = run.train(measure_strength, measure_strength)
            metrics = read_metrics(run.path)
        last = metrics[-1]
        result = {
            "minutes": round(minutes, 2),
            "strength": strength._asdict() if strength is not None else None,
            "untrained": made["untrained"]._asdict() if "untrained" in made else None,
            **{name: last.get(name) for name in ("seconds", "positions", "updates", "games")},
            "curve": [
                {name: line[name] for name in ("seconds", "positions", "updates", "strength")}
                for line in metrics
                if "strength" in line
            ],
            "speeds": {
                name: round(statistics.median(line[name] for line in metrics if name in line))
                for name in ("positions_per_second", "evaluations_per_second", "updates_per_second")
                if any(name in line for line in metrics)
            },
        }
        return result | ({"missing": missing} if missing else {})

    return Cell(_labels("connect_four", config.train) | {"preset": name}, measure)
