"""Speed of Quoridor against OpenSpiel's C++: random legal play, with all legal actions known at every ply.

    python experiments/benchmarks/quoridor.py --out experiments/benchmarks/results/quoridor_cpu.json

jzero plays B games on all devices and starts a new game where one ends; a ply is the random choice and one `step`
of the environment. OpenSpiel plays on one core: in C++ (rollouts of its `RandomRolloutEvaluator`, called by a tree
search of one simulation) and driven from Python. All take turns in one process; medians of the rounds are reported.
Needs OpenSpiel: `pip install -e ".[test]"`.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import tyro
from hardware import provenance, tell
from jax.sharding import PartitionSpec as P
from jzero_envs.quoridor import Quoridor

from jzero.devices import set_up
from jzero.env import init_batch, is_finished, step_batch, where_rows
from jzero.program import AXIS, make_mesh


@dataclass(frozen=True)
class Config:
    """What to measure."""

    size: int = 9
    """Rows and columns of the board."""
    walls: int = 10
    """Walls per player."""
    batch: int = 1024
    """Games side by side over all devices (B)."""
    plies: int = 512
    """Plies per game in a timed run of jzero."""
    rollouts: int = 1000
    """Games per timed run of OpenSpiel in C++."""
    python_games: int = 100
    """Games per timed run of OpenSpiel driven from Python."""
    rounds: int = 9
    """Timed repetitions; medians are reported."""
    out: Path | None = None
    """Where to write the result as JSON."""


def fast_random_actions(key: jax.Array, mask: jax.Array) -> jax.Array:
    """i32[B], uniform over the legal actions of bool[B, A]: one random number per game picks a bit of the mask."""
    batch, num_actions = mask.shape
    bits = jnp.pad(mask, ((0, 0), (0, -num_actions % 32))).reshape(batch, -1, 32).astype(jnp.uint32)
    words = (bits << np.arange(32, dtype=np.uint32)).sum(axis=2, dtype=jnp.uint32)
    upto = jnp.cumsum(jax.lax.population_count(words), axis=1)
    drawn = jax.random.bits(key, (batch,), jnp.uint16).astype(jnp.uint32)
    rank = drawn * upto[:, -1] >> 16  # of the chosen action among the legal ones, from 0
    word, action = words[:, 0], jnp.zeros(batch, jnp.int32)
    left = rank
    for i in range(1, words.shape[1]):
        later = rank >= upto[:, i - 1]
        word = jnp.where(later, words[:, i], word)
        action = jnp.where(later, 32 * i, action)
        left = jnp.where(later, rank - upto[:, i - 1], left)
    for half in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(word & np.uint32(2**half - 1))
        above = left >= below
        word, left = jnp.where(above, word >> half, word), jnp.where(above, left - below, left)
        action = jnp.where(above, action + half, action)
    return action


class Ours:
    """Random play of B games on all devices; the states are kept between calls."""

    def __init__(self, config: Config) -> None:
        env, devices = Quoridor(size=config.size, walls=config.walls), len(jax.devices())
        batch = config.batch // devices

        def play(
            states: Any, actions: jax.Array, key: jax.Array
        ) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
            key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
            first = init_batch(env, key, batch)

            def ply(carry: tuple[Any, jax.Array], key: jax.Array) -> tuple[tuple[Any, jax.Array], jax.Array]:
                states = step_batch(env, *carry, key)
                over = is_finished(states)
                states = where_rows(over, first, states)
                return (states, fast_random_actions(key, states.legal_action_mask)), over

            keys = jax.random.split(key, config.plies)
            (states, actions), over = jax.lax.scan(ply, (states, actions), keys)
            walls = (states.walls_left[:, 0] > 0).sum()
            return states, actions, over.sum()[None], walls[None]

        rows = P(AXIS)
        sharded = jax.shard_map(
            play, mesh=make_mesh(), in_specs=(rows, rows, P()), out_specs=(rows, rows, rows, rows)
        )
        self.play = jax.jit(sharded, donate_argnums=(0, 1))
        self.states = init_batch(env, jax.random.key(0), batch * devices)
        self.actions = fast_random_actions(jax.random.key(1), self.states.legal_action_mask)
        self.plies = batch * devices * config.plies
        self.calls = self.games = self.with_walls = 0
        for _ in range(3):  # compiles, and plays until the games are at all plies
            self()

    def __call__(self) -> int:
        """Plays; returns the number of plies."""
        self.calls += 1
        key = jax.random.key(self.calls)
        self.states, self.actions, games, walls = self.play(self.states, self.actions, key)
        self.games += int(games.sum())
        self.with_walls += int(walls.sum())
        return self.plies


class InPython:
    """OpenSpiel driven from Python: one game after the other."""

    def __init__(self, game: Any, config: Config) -> None:
        self.game, self.games = game, config.python_games
        self.rng = random.Random(0)
        self.total_plies = self.total_games = 0

    def __call__(self) -> int:
        """Plays; returns the number of plies."""
        plies = 0
        for _ in range(self.games):
            state = self.game.new_initial_state()
            while not state.is_terminal():
                state.apply_action(self.rng.choice(state.legal_actions()))
                plies += 1
        self.total_plies += plies
        self.total_games += self.games
        return plies


class InCpp:
    """OpenSpiel's own rollouts from the first position, made by a search of one simulation."""

    def __init__(self, game: Any, config: Config, plies_per_game: float) -> None:
        self.game, self.rollouts, self.plies_per_game = game, config.rollouts, plies_per_game
        self.calls = 0

    def __call__(self) -> float:
        """Plays; returns the number of plies, by the mean length of random games."""
        self.calls += 1
        evaluator = pyspiel.RandomRolloutEvaluator(self.rollouts, self.calls)
        bot = pyspiel.MCTSBot(self.game, evaluator, 1.0, 1, 1, False, self.calls, False)
        bot.step(self.game.new_initial_state())
        return self.rollouts * self.plies_per_game


def rate(play: Callable[[], float]) -> float:
    """Plies per second; `play` waits for its result."""
    start = time.perf_counter()
    plies = play()
    return plies / (time.perf_counter() - start)


def main(config: Config) -> None:
    """Prints and, with --out, writes the result."""
    set_up(cache=None)
    game = pyspiel.load_game(
        "quoridor", {"players": 2, "board_size": config.size, "wall_count": config.walls}
    )
    python = InPython(game, config)
    for _ in range(10):
        python()
    plies_per_game = python.total_plies / python.total_games
    players = {
        "ours": Ours(config),
        "openspiel, C++": InCpp(game, config, plies_per_game),
        "openspiel, Python": python,
    }
    ours = players["ours"]
    speed: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(config.rounds):
        for name, play in players.items():
            speed[name].append(rate(play))
    result = {
        "benchmark": "quoridor",
        "config": {name: value for name, value in asdict(config).items() if name != "out"},
        **provenance(),
        "plies_per_second": {name: round(statistics.median(values)) for name, values in speed.items()},
        "ours_over": {
            name: round(statistics.median(a / b for a, b in zip(speed["ours"], values, strict=True)), 2)
            for name, values in speed.items()
            if name != "ours"
        },
        "plies_per_game": {
            "ours": round(ours.calls * ours.plies / ours.games, 1),
            "openspiel": round(plies_per_game, 1),
        },
        "share_of_states_whose_mover_has_walls": round(ours.with_walls / (ours.calls * config.batch), 3),
    }
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
