"""Counts, without a GPU, what a GPU would run for each of jzero's programs; `gpu.py --count` starts it.

    python experiments/benchmarks/gpu_count.py h100 DUMP     with the variables of `without_gpu.variables`

Two lines per program, one simulation and the rest of one ply: kernels and copies, the CUDA graphs that hold them,
and the conditionals at which the host waits. Loops with a trip count unknown to XLA come last, each with the
kernels + copies of one iteration.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

sys.path.append(str(Path(__file__).parents[1]))

import blob
import game_2048
import gomoku
import jax
import jax.numpy as jnp
import tic_tac_toe
from gpu_parts import norms
from gpu_rig import lower
from gpu_tables import table
from jzero_envs.backgammon import Backgammon
from jzero_envs.blob import Blob
from jzero_envs.connect_four import ConnectFour
from jzero_envs.game_2048 import Game2048
from jzero_envs.gomoku import Gomoku
from jzero_envs.quoridor import Quoridor
from jzero_envs.tic_tac_toe import TicTacToe
from search import STATES, make_search, make_tables
from without_gpu import (
    Card,
    Cost,
    abstract,
    cost,
    device,
    find_loop,
    missing_plugin,
    read,
    tracing,
    variables,
)

from jzero import search
from jzero.env import Env
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.program import make_mesh
from jzero.run.build import build_program
from jzero.run.config import TrainConfig

PLIES = 7
"""Plies per iteration: a trip count that identifies the loop over plies, since no other loop has it."""


class Program(NamedTuple):
    """One program to count."""

    name: str
    simulations: int
    """N: trip count of the loop over simulations."""
    plies: int | None
    """T; None if the program is one search."""
    jitted: str
    """Name of the function that is compiled."""
    lower: Callable[[jax.Device], jax.stages.Lowered]


def programs() -> list[Program]:
    """The searches of search.py, and self-play of the games."""
    small = NetworkSettings(kind="resnet", width=64, blocks=5, bf16=True)
    tower = NetworkSettings(kind="resnet", width=64, blocks=6, bf16=True)
    large = NetworkSettings(kind="resnet", width=128, blocks=6, bf16=True)
    train = TrainConfig(search=SearchSettings(num_simulations=64), network=tower)
    games: list[tuple[str, Callable[[], Env], TrainConfig]] = [
        *(
            (f"connect_four 6x64, norm {network.norm}", ConnectFour, replace(train, network=network))
            for network in norms(tower)
        ),
        ("quoridor 9x9 5x64", Quoridor, replace(train, network=small)),
        ("gomoku 9x9 with proofs", partial(Gomoku, size=9, lines=True), gomoku.PRESET.train),
        ("tic_tac_toe", TicTacToe, tic_tac_toe.PRESET.train),
        ("blob", Blob, blob.PRESET.train),
        ("2048", Game2048, game_2048.ALPHAZERO.train),
        ("backgammon", Backgammon, replace(train, network=NetworkSettings(width=256, blocks=3))),
    ]
    if importlib.util.find_spec("pgx") is not None:
        from jzero_envs.adapters.pgx import make

        games += [
            (f"pgx {game} 6x128", partial(make, game), replace(train, network=large))
            for game in ("othello", "go_9x9")
        ]
    grid = [(policy, num_actions) for num_actions in (7, 82) for policy in ("gumbel", "puct")]
    searches = [_table_search(*cell) for cell in grid] + [_table_search("puct", 82, leaves=4)]
    return searches + [_self_play(*game) for game in games]


def _table_search(policy: str, num_actions: int, num_simulations: int = 64, leaves: int = 1) -> Program:
    """A search of a table; with several leaves a call of the model counts as one simulation."""

    def lower_search(device: jax.Device) -> jax.stages.Lowered:
        arguments = (make_tables(num_actions), jax.random.key(0), jnp.zeros(1024, jnp.int32) % STATES)
        run = make_search(search, policy, num_simulations, leaves=leaves)
        return jax.jit(run).lower(*abstract(arguments, device))

    name = f"search, {policy}, A {num_actions}" + (f", {leaves} leaves" if leaves > 1 else "")
    return Program(name, num_simulations // leaves, None, "search_all", lower_search)


def _self_play(name: str, make_env: Callable[[], Env], settings: TrainConfig) -> Program:
    """`play()` of 1024 games with the settings' search and network."""
    train = replace(settings, games=1024, plies=PLIES, replay_plies=64 * PLIES)

    def lower_play(device: jax.Device) -> jax.stages.Lowered:
        return lower(build_program(make_env(), train, make_mesh([device])), "play")

    return Program(name, train.search.num_simulations, PLIES, "play", lower_play)


def count(program: Program, device: jax.Device, dump: Path) -> tuple[Cost, Cost]:
    """(one simulation, one ply or search outside of its simulations) of the program, compiled for `device`.

    Raises:
      ValueError: the compiled program has no loop over the simulations or the plies.
    """
    shutil.rmtree(dump, ignore_errors=True)
    with tracing(device):
        program.lower(device).compile()
    thunks = read(dump, program.jitted)
    around = thunks
    if program.plies is not None:
        found = find_loop(thunks, program.plies)
        if found is None:
            raise ValueError(f"no loop of trip count {program.plies}, the plies")
        around = found[0].parts["body"]
    found = find_loop(around, program.simulations)
    if found is None:
        raise ValueError(f"no loop of trip count {program.simulations}, the simulations")
    loop, in_graph = found
    return cost(loop.parts["body"], in_graph=in_graph), cost(around, leave_out=loop)


HEADER = ("program", "per", "kernels", "copies", "graphs", "host waits at conditionals", "loops, driven by")


def main(card: Card, dump: Path, only: Sequence[str]) -> None:
    """Counts the programs whose names contain one of `only` (all, if it is empty), and prints a table."""
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.CRITICAL)  # CUDA's libraries are missing
    target = device(card)
    rows = []
    for program in programs():
        if only and not any(part in program.name for part in only):
            continue
        begun = time.monotonic()
        try:
            each = count(program, target, dump)
        except Exception as error:
            print(f"{program.name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            continue
        print(f"{program.name}: compiled and counted in {time.monotonic() - begun:.0f} s", flush=True)
        rows.append(_row(program.name, "simulation", each[0]))
        rows.append(_row(program.name, "search" if program.plies is None else "ply", each[1]))
    print(f"\n{target.device_kind}, jax {jax.__version__}; loops: (kernels + copies) per iteration\n")
    print(table(HEADER, rows))


def _row(name: str, part: str, found: Cost) -> list[Any]:
    loops = []
    for loop in found.loops:
        driver = "graph" if loop.in_graph else "host"
        inner = "".join(f" and in it {_loop(inner.where, inner.each)}" for inner in loop.each.loops)
        loops.append(f"{driver}: {_loop(loop.where, loop.each)}{inner}")
    return [name, part, found.kernels, found.copies, found.graphs, found.conditionals, "; ".join(loops)]


def _loop(where: str, each: Cost) -> str:
    conditionals = f", {each.conditionals} conditionals" if each.conditionals else ""
    return f"{where} ({each.kernels} + {each.copies}{conditionals})"


def start(card: Card, only: Sequence[str] = ()) -> int:
    """Runs this file in a process that dumps its compiled programs; returns the exit status."""
    missing = missing_plugin()
    if missing:
        print(missing)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | variables(Path(folder))
        return subprocess.run(
            [sys.executable, __file__, card, folder, *only], env=environment, check=False
        ).returncode


if __name__ == "__main__":
    main(cast(Card, sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
