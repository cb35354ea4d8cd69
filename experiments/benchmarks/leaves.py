"""Several leaves of one tree per model call: their cost in strength and gain in time, with trained networks.

    python experiments/benchmarks/leaves.py --run-dirs runs/connect_four/20261121-101500 --out leaves_cpu.json
    python experiments/benchmarks/leaves.py --run-dirs runs/connect_four/20261121-101500 --quick

A player with K leaves per call is compared with the same policy at K = 1:

- at equal visits: the share of solved positions where its move keeps the game's value, and matches;
- in equal time, one game at a time: the same share, with as many simulations as take the time of `budget`
  simulations with K = 1.

Searches: PUCT, with descents in flight counted as "visit", "loss" or "mean" (see `jzero.search.muzero_policy`), and
"gumbel" (halving rounds). Prints Markdown tables. Axes: R networks, N positions, B games.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from hardware import provenance
from with_network import in_turn

import jzero
from jzero import search
from jzero.devices import set_up
from jzero.evaluate import PositionSet, load_positions, mean_interval, play_match, positions_states
from jzero.evaluate.batches import in_batches
from jzero.evaluate.rating import ELO
from jzero.models.plan import SearchSettings
from jzero.run.build import build_algorithm
from jzero.run.config import TrainConfig
from jzero.run.load import read_config
from jzero.search.scores import considered_visits
from jzero.storage.files import to_json

WAYS = ("visit", "loss", "mean", "gumbel")
TIMED = ("visit", "gumbel")
"""Searches to time; "loss" and "mean" do the same work as "visit"."""

Part = Literal["times", "equal_time", "equal_visits", "matches"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Config:
    """What to measure."""

    run_dirs: tuple[Path, ...]
    """Runs of one game with the same kind of network; the matches take the first."""
    positions: Path = Path(__file__).parents[1] / "data" / "connect_four_positions.json"
    """The solved positions."""
    num_positions: int = 1000
    """Number of positions to use, evenly spaced in the file."""
    leaves: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Values of K; the first is 1. Each divides the simulations."""
    simulations: tuple[int, ...] = (48, 192, 400)
    """Simulations per move, for the positions and the times."""
    match_leaves: tuple[int, ...] = (4, 16)
    """Values of K in the matches."""
    match_simulations: tuple[int, ...] = (48, 192)
    """Simulations per move in the matches."""
    opening_plies: tuple[int, int] = (4, 6)
    """Least and largest number of random plies that open a game of a match."""
    batch: int = 125
    """Positions, or pairs of games of a match, searched side by side."""
    budget: int = 48
    """Simulations with K = 1 whose time is the budget of one move."""
    rounds: int = 31
    """Timed moves of each contestant; medians are reported."""
    seed: int = 0
    """Seed of the openings."""
    quick: bool = False
    """Check only that everything runs: few simulations, positions and games."""
    parts: tuple[Part, ...] = PARTS
    """What to measure; the other parts of an existing `out` stay as they are."""
    out: Path | None = None
    """Where to write the result as JSON; it is rewritten after every measurement."""


QUICK = {
    "num_positions": 50,
    "leaves": (1, 2),
    "simulations": (16,),
    "match_leaves": (2,),
    "match_simulations": (16,),
    "batch": 10,
    "budget": 16,
    "rounds": 3,
}

Search = Callable[[Any, Any, int], jax.Array]
"""(params, states [B], number of simulations) -> actions i32[B]; compiled once for all numbers of simulations."""


class Contestant(NamedTuple):
    """A way to search."""

    way: str
    leaves: int


def base_of(way: str) -> Contestant:
    """The player with K = 1 that `way` is compared with; there "loss" and "mean" equal "visit"."""
    return Contestant("gumbel" if way == "gumbel" else "visit", 1)


def contestants(config: Config, num_actions: int) -> list[Contestant]:
    """All contestants, each once: a halving round compares at most `num_actions` actions."""
    found = []
    for way, leaves in itertools.product(WAYS, config.leaves):
        wider_than_a_round = way == "gumbel" and leaves // 2 >= num_actions
        if not wider_than_a_round and (leaves > 1 or Contestant(way, leaves) == base_of(way)):
            found.append(Contestant(way, leaves))
    return found


def without_noise(settings: SearchSettings, way: str) -> Callable[..., search.PolicyOutput]:
    """A run's search, with its constants, without noise."""
    if way == "gumbel":
        improvement = functools.partial(
            search.qtransform_completed_by_mix_value,
            value_scale=settings.value_scale,
            maxvisit_init=settings.maxvisit_init,
            rescale_values=settings.rescale_values,
            epsilon=settings.min_value_range,
        )
        return functools.partial(
            search.gumbel_muzero_policy,
            qtransform=improvement,
            max_num_considered_actions=settings.max_considered,
            gumbel_scale=0.0,
        )
    return functools.partial(
        search.muzero_policy,
        qtransform=functools.partial(
            search.qtransform_by_parent_and_siblings, epsilon=settings.min_value_range
        ),
        dirichlet_fraction=0.0,
        pb_c_init=settings.pb_c_init,
        temperature=0.0,
        virtual=way,
    )


def make_search(env: Any, train: TrainConfig, contestant: Contestant, max_num_simulations: int) -> Search:
    """The best move of a search without noise."""
    model, policy = build_algorithm(env, train).model, without_noise(train.search, contestant.way)

    def act(params: Any, states: Any, num_simulations: jax.Array) -> jax.Array:
        output = policy(
            params,
            jax.random.key(0),
            model.root(params, states),
            model.recurrent,
            num_simulations,
            invalid_actions=~states.legal_action_mask,
            leaves=contestant.leaves,
            max_num_simulations=max_num_simulations,
            to_play=model.to_play,
        )
        return jnp.asarray(output.action)

    return jax.jit(act)


def model_calls(contestant: Contestant, num_simulations: int, num_actions: int) -> int:
    """Model calls per move after the root's, if all `num_actions` are legal."""
    if contestant.way != "gumbel":
        return num_simulations // contestant.leaves
    rounds = considered_visits(num_actions, num_simulations, num_simulations)[num_actions]
    return sum(-(-len(list(same)) // contestant.leaves) for _, same in itertools.groupby(rounds.tolist()))


class Positions(NamedTuple):
    """The positions that moves are graded on."""

    solved: PositionSet
    states: Any
    """Host arrays [N, ...]."""


def some_positions(config: Config, env: Any) -> Positions:
    """`num_positions` of the file, evenly spaced."""
    every = load_positions(config.positions)
    rows = np.linspace(0, len(every.plies) - 1, config.num_positions).astype(int)
    solved = replace(every, moves=every.moves[rows], plies=every.plies[rows], values=every.values[rows])
    return Positions(solved, jax.device_get(positions_states(env, solved)))


def choose(
    run: Search, agents: Sequence[jzero.Agent], states: Any, num_simulations: int, batch: int
) -> np.ndarray:
    """Actions i32[R, N]."""
    return np.stack(
        [in_batches(lambda x, a=agent: run(a.params, x, num_simulations), states, batch) for agent in agents]
    )


def grade(positions: PositionSet, actions: np.ndarray, base_actions: np.ndarray) -> dict[str, float]:
    """The share of actions i32[R, N] that keep the game's value, and its difference from the base's.

    Intervals are at 95 %; the independent unit is a position with the moves of all networks.
    """
    rows = np.arange(actions.shape[1])
    kept, base_kept = (positions.keeps_value[rows, chosen].mean(axis=0) for chosen in (actions, base_actions))
    low, high = mean_interval(kept)
    difference = kept - base_kept
    difference_low, difference_high = (2 * bound - 1 for bound in mean_interval((1 + difference) / 2))
    return {
        "score": float(kept.mean()),
        "low": low,
        "high": high,
        "difference": float(difference.mean()),
        "difference_low": difference_low,
        "difference_high": difference_high,
        "same_move": float((actions == base_actions).mean()),
    }


def milliseconds(moves: Sequence[tuple[Search, int]], params: Any, states: Any, rounds: int) -> list[float]:
    """Median milliseconds of a move in one game for each (search, simulations), all on the same positions."""
    rows = np.linspace(0, len(states.terminated) - 1, rounds + 1).astype(int)
    singles = [jax.tree.map(lambda x, row=row: jnp.asarray(x[row : row + 1]), states) for row in rows]

    def mover(run: Search, num_simulations: int) -> Callable[[], jax.Array]:
        upcoming = iter(singles)
        return lambda: run(params, next(upcoming), num_simulations)

    seconds = in_turn({number: mover(*move) for number, move in enumerate(moves)}, rounds)
    return [1e3 * seconds[number] for number in range(len(moves))]


def fit_simulations(
    measure: Callable[[int], float], points: dict[int, float], budget: float, leaves: int
) -> tuple[int, float]:
    """The multiple of `leaves` whose time comes closest to `budget`: (simulations, time).

    Args:
      measure: simulations -> time.
      points: times measured so far; more are added between them.
      budget: the target time.
      leaves: K.
    """
    for _ in range(3):
        known = sorted((taken, n) for n, taken in points.items())
        wanted = np.interp(budget, [taken for taken, _ in known], [float(n) for _, n in known])
        num_simulations = max(1, round(wanted / leaves)) * leaves
        if num_simulations not in points:
            points[num_simulations] = measure(num_simulations)
    return min(points.items(), key=lambda point: abs(point[1] - budget))


def elo(score: float) -> float:
    """The Elo difference of a score in [0, 1]."""
    if not 0 < score < 1:
        return float("inf") if score else -float("inf")
    return float(ELO * np.log(score / (1 - score)))


def play(config: Config, agent: jzero.Agent, run: Search, base: Search, num_simulations: int) -> dict:
    """A match of `run` against `base`; the interval's independent unit is a pair of games."""
    player, opponent = (
        lambda turn, run=run: np.asarray(run(agent.params, turn.states, num_simulations))
        for run in (run, base)
    )
    result = play_match(
        agent.env,
        player,
        opponent,
        num_games=2 * config.batch,
        key=jax.random.key(config.seed),
        opening_plies=config.opening_plies,
    )
    low, high = result.interval
    return {
        "wins": result.wins,
        "draws": result.draws,
        "losses": result.losses,
        "distinct_games": result.distinct_games,
        "score": result.score,
        "low": low,
        "high": high,
        "elo": elo(result.score),
        "elo_low": elo(low),
        "elo_high": elo(high),
    }


class Bench:
    """The networks, the compiled searches and the results so far."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.agents = [jzero.load(run_dir) for run_dir in config.run_dirs]
        agent = self.agents[0]
        self.env, self.params = agent.env, agent.params
        self.positions = some_positions(config, self.env)
        self.contestants = contestants(config, self.env.num_actions)
        train, _ = read_config(config.run_dirs[0])
        most = max(config.simulations)
        self.searches = {c: make_search(self.env, train, c, most) for c in self.contestants}
        self.base_actions: dict[tuple[Contestant, int], np.ndarray] = {}
        self.result: dict[str, Any] = {
            "benchmark": "leaves",
            "config": {name: item for name, item in asdict(config).items() if name not in ("out", "parts")},
            "network": asdict(train.network),
            **provenance(),
        }
        self.result["config"] |= {
            "run_dirs": [path.name for path in config.run_dirs],
            "positions": config.positions.name,
        }
        if config.out is not None and config.out.exists():
            earlier = json.loads(config.out.read_text())
            kept = (part for part in PARTS if part in earlier and part not in config.parts)
            self.result |= {part: earlier[part] for part in kept}

    def add(self, part: str, cell: dict[str, Any]) -> None:
        """Adds a measurement to a part of the result, prints it and saves the result."""
        self.result.setdefault(part, []).append(cell)
        print(part, json.dumps(to_json(_rounded(cell))), flush=True)
        if self.config.out is not None:
            self.config.out.parent.mkdir(parents=True, exist_ok=True)
            self.config.out.write_text(json.dumps(to_json(_rounded(self.result)), indent=1) + "\n")

    def grade(self, contestant: Contestant, num_simulations: int, base_simulations: int) -> dict[str, float]:
        """Grades the contestant's moves in the solved positions against those of K = 1."""
        states, batch = self.positions.states, self.config.batch
        base = base_of(contestant.way), base_simulations
        if base not in self.base_actions:
            self.base_actions[base] = choose(
                self.searches[base[0]], self.agents, states, base_simulations, batch
            )
        if (contestant, num_simulations) == base:
            actions = self.base_actions[base]
        else:
            actions = choose(self.searches[contestant], self.agents, states, num_simulations, batch)
        return grade(self.positions.solved, actions, self.base_actions[base])

    def time(self, *moves: tuple[Contestant, int]) -> list[float]:
        """Milliseconds of one move of each (contestant, simulations)."""
        searches = [(self.searches[contestant], n) for contestant, n in moves]
        return milliseconds(searches, self.params, self.positions.states, self.config.rounds)

    def times(self) -> None:
        """Milliseconds per move, one game at a time."""
        timed = [c for c in self.contestants if c.way in TIMED]
        for num_simulations in self.config.simulations:
            found = self.time(*((c, num_simulations) for c in timed))
            for contestant, taken in zip(timed, found, strict=True):
                calls = model_calls(contestant, num_simulations, self.env.num_actions)
                cell = {"simulations": num_simulations, "calls": calls, "milliseconds": taken}
                self.add("times", contestant._asdict() | cell)

    def equal_visits(self) -> None:
        """The solved positions, with the base's number of simulations."""
        for num_simulations in self.config.simulations:
            for contestant in self.contestants:
                cell = {"simulations": num_simulations}
                graded = self.grade(contestant, num_simulations, num_simulations)
                self.add("equal_visits", contestant._asdict() | cell | graded)

    def equal_time(self) -> None:
        """The solved positions, with the simulations that take as long as the base's `budget`."""
        for contestant in (c for c in self.contestants if c.way in TIMED):
            base = base_of(contestant.way), self.config.budget

            def relative(
                num_simulations: int, contestant: Contestant = contestant, base: Any = base
            ) -> float:
                mine, theirs = self.time((contestant, num_simulations), base)
                return mine / theirs

            if contestant == base[0]:
                num_simulations, taken = self.config.budget, 1.0
            else:
                points = {n: relative(n) for n in self.config.simulations}
                num_simulations, taken = fit_simulations(relative, points, 1.0, contestant.leaves)
            for same in (c for c in self.contestants if c.leaves == contestant.leaves):
                if base_of(same.way) == base[0]:
                    cell = {"simulations": num_simulations, "time": taken}
                    graded = self.grade(same, num_simulations, self.config.budget)
                    self.add("equal_time", same._asdict() | cell | graded)

    def matches(self) -> None:
        """Matches at equal visits; halving rounds also with the largest K that still changes them."""
        widest = max(c.leaves for c in self.contestants if c.way == "gumbel")
        wanted = [Contestant(way, leaves) for way in WAYS for leaves in self.config.match_leaves]
        players = [c for c in self.contestants if c in [*wanted, Contestant("gumbel", widest)]]
        for num_simulations, contestant in itertools.product(self.config.match_simulations, players):
            run, base = (self.searches[c] for c in (contestant, base_of(contestant.way)))
            played = play(self.config, self.agents[0], run, base, num_simulations)
            self.add("matches", contestant._asdict() | {"simulations": num_simulations} | played)


def _rounded(value: Any) -> Any:
    """`value` with floats rounded to five significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def lookup(cells: Sequence[dict], **wanted: Any) -> dict | None:
    """The first cell with these entries, or None."""
    return next((cell for cell in cells if wanted.items() <= cell.items()), None)


def percent(cell: dict | None) -> str:
    """The difference from the base in percentage points; the score for the base itself."""
    if cell is None:
        return ""
    if cell["leaves"] == 1:
        return f"{100 * cell['score']:.1f} %"
    low, high = 100 * cell["difference_low"], 100 * cell["difference_high"]
    return f"{100 * cell['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"


def rating(cell: dict | None) -> str:
    """The Elo difference from the base in a match."""
    if cell is None:
        return ""
    mean, low, high = (elo(cell[name]) for name in ("score", "low", "high"))
    return f"{mean:+.0f} [{low:+.0f}, {high:+.0f}]"


def visits_table(result: dict[str, Any]) -> list[list[str]]:
    """Strength at equal visits: table rows, header first."""
    config = result["config"]
    numbers, played = config["simulations"], config["match_simulations"]
    rows = [["search", "K", *(f"N = {n}" for n in numbers), *(f"Elo, N = {n}" for n in played)]]
    for way, leaves in _pairs(result.get("equal_visits", [])):
        graded = (lookup(result["equal_visits"], way=way, leaves=leaves, simulations=n) for n in numbers)
        matches = (lookup(result.get("matches", []), way=way, leaves=leaves, simulations=n) for n in played)
        rows.append([way, str(leaves), *map(percent, graded), *map(rating, matches)])
    return rows


def time_table(result: dict[str, Any]) -> list[list[str]]:
    """Times per move and strength in equal time: table rows, header first."""
    numbers, fitted = result["config"]["simulations"], result.get("equal_time", [])
    rows = [["search", "K", *(f"ms (calls), N = {n}" for n in numbers), "N in equal time", *WAYS]]
    for way, leaves in _pairs(result.get("times", [])):
        cells = (lookup(result["times"], way=way, leaves=leaves, simulations=n) for n in numbers)
        times = [f"{cell['milliseconds']:.1f} ({cell['calls']})" if cell else "" for cell in cells]
        fit = lookup(fitted, way=way, leaves=leaves)
        simulations = f"{fit['simulations']} ({fit['time']:.2f})" if fit else ""
        scores = [
            percent(lookup(fitted, way=other, leaves=leaves)) if base_of(other) == base_of(way) else ""
            for other in WAYS
        ]
        name = "Gumbel" if way == "gumbel" else "PUCT"
        rows.append([name, str(leaves), *times, simulations, *scores])
    return rows


def _pairs(cells: Sequence[dict]) -> list[tuple[str, int]]:
    """The distinct (way, K) of the cells, by way."""
    found = {(cell["way"], cell["leaves"]) for cell in cells}
    return sorted(found, key=lambda pair: (WAYS.index(pair[0]), pair[1]))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows, header first."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main(config: Config) -> None:
    """Measures everything and prints the tables."""
    set_up()
    bench = Bench(replace(config, **QUICK) if config.quick else config)
    measures: dict[Part, Callable[[], None]] = {
        "times": bench.times,
        "equal_time": bench.equal_time,
        "equal_visits": bench.equal_visits,
        "matches": bench.matches,
    }
    for part in bench.config.parts:
        measures[part]()
    for table in (visits_table, time_table):
        print("\n" + markdown(table(bench.result)))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
