"""Tree reuse and evaluation cache in Connect Four, with a trained network: what each saves.

    python experiments/benchmarks/reuse.py --run-dir runs/connect_four/20261121-101500 --out reuse_cpu.json

Reuse: the visits that a search starts with, in self-play (one tree follows both players' moves) and in matches (a
player's tree follows its own move and the reply); matches against the same search without reuse, at equal new
simulations and at equal total visits.

Cache: hits by ply, in games that begin together; and the time of searches with and without the table in games at
all plies, in turn on the same positions. One CPU device; `taskset -c 0` keeps it on one core.

Prints Markdown tables. Axes: B games, P rows per turn, T places of the table.
"""

from __future__ import annotations

import collections
import functools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from hardware import provenance
from jzero_envs.connect_four import ConnectFour

import jzero
from jzero import search
from jzero.devices import set_up
from jzero.env import init_batch, is_finished, random_actions, step_batch, where_rows
from jzero.evaluate.arena import play_match
from jzero.evaluate.turns import Player, Turn
from jzero.models.model import Model
from jzero.models.plan import Memory, Plan, Planner, make_planner
from jzero.networks.make import NetworkSettings
from jzero.run.build import build_algorithm
from jzero.run.config import TrainConfig
from jzero.run.load import read_config
from jzero.search import Tree
from jzero.self_play import Games, self_play, start_games
from jzero.storage.files import to_json

ENV = ConnectFour()
PLIES = 42
PHASES = {"0-7": (0, 8), "8-19": (8, 20), "20+": (20, PLIES)}
"""Ranges of plies over which hits are summed."""
Policy = Literal["puct", "gumbel"]


@dataclass(frozen=True)
class Config:
    """What to measure."""

    run_dir: Path
    """A trained run of Connect Four."""
    tower_run_dir: Path | None = None
    """A run with a residual tower, for the cache; None: a tower of 3 x 32 with random weights."""
    parts: tuple[Literal["reuse", "cache"], ...] = ("reuse", "cache")
    """Parts to measure."""
    policies: tuple[Policy, ...] = ("puct", "gumbel")
    """Searches whose trees are reused."""
    simulations: tuple[int, ...] = (32, 64, 200)
    """Simulations per move without reuse (N)."""
    room: int = 8
    """Capacity of a reused tree, in multiples of N nodes."""
    opening_plies: tuple[int, int] = (4, 6)
    """Least and largest number of random plies that open a game."""
    match_games: int = 400
    """Games per match."""
    games: int = 256
    """Games side by side (B), in self-play and for the cache."""
    cache_simulations: int = 32
    """Simulations per move, for the cache."""
    table_bits: tuple[int, ...] = (14, 18, 20)
    """Sizes of the table, as powers of 2."""
    plies: int = 16
    """Timed plies; the table is empty before the first."""
    seed: int = 0
    """Seed of games and openings."""
    out: Path | None = None
    """Where to write the result as JSON; it is rewritten after every cell."""


class Network(NamedTuple):
    """A network and the settings it was trained with."""

    name: str
    train: TrainConfig
    params: Any


def searched_with(train: TrainConfig, **changes: Any) -> tuple[Model, Planner]:
    """The model of a run and its search with some settings changed, by default without reuse and cache."""
    model, base = build_algorithm(ENV, train).model, replace(train.search, reuse=False, cache=0)
    return model, make_planner(replace(base, **changes), model)


def choose(model: Model, planner: Planner, params: Any, key: jax.Array, states: Any, **options: Any) -> Plan:
    """A search from `states` [B], with Gumbel noise if `explore`."""
    return planner.plan(params, key, model.root(params, states), ~states.legal_action_mask, **options)


# Reuse


class Follower(NamedTuple):
    """A search that keeps its tree."""

    network: Network
    policy: Policy
    num_simulations: int
    """New simulations per move."""
    num_nodes: int
    """Capacity of the tree."""

    def searcher(self) -> tuple[Model, Planner]:
        """The model and the search."""
        # A tree has room for twice its simulations.
        changes = {"policy": self.policy, "reuse": True, "num_simulations": (self.num_nodes - 1) // 2}
        return searched_with(self.network.train, **changes)

    def empty(self, states: Any) -> Tree:
        """Empty trees for the positions [B]."""
        model, planner = self.searcher()
        root = model.root(self.network.params, states)
        memory = planner.begin(self.network.params, root, ~states.legal_action_mask)
        return cast(Tree, cast(Memory, memory).tree)

    def search(self, states: Any, trees: Tree) -> tuple[jax.Array, Tree, jax.Array]:
        """(actions i32[B], trees, visits f32[B] that the roots had before the search)."""
        found = choose(
            *self.searcher(),
            self.network.params,
            jax.random.key(0),
            states,
            num_simulations=self.num_simulations,
            memory=Memory(trees, None),
        )
        trees = replace(found.tree, extra_data=None)
        visits = jnp.sum(trees.summary().visit_counts, axis=-1)
        return found.action, trees, visits - self.num_simulations


class Remembered(NamedTuple):
    """The searches of one turn."""

    rows: dict[tuple[int, ...], int]
    """A game's moves before the search -> its row."""
    trees: Tree

    def find(self, turn: Turn) -> np.ndarray:
        """i32[P]: each game's row two plies ago; -1 if it has none."""
        return np.array([self.rows.get(tuple(history[:-2]), -1) for history in turn.histories], np.int32)


class ReusingPlayer:
    """A match player that keeps its trees across its own move and the reply.

    A match alternates between the games of each seat, in any rows. So a tree is looked up in the last two turns, by
    its game's moves: the search is deterministic, so games with equal moves have equal trees.
    """

    def __init__(self, follower: Follower) -> None:
        self.kept: list[np.ndarray] = []
        """f32[P] per turn: kept visits of the games played."""
        self._turns: collections.deque[Remembered] = collections.deque(maxlen=2)
        self._follower = follower

        def act(states: Any, trees: Tree, rows: jax.Array, moves: jax.Array) -> Any:
            trees = jax.tree.map(lambda x: x[rows], trees)
            for ply in range(moves.shape[1]):
                trees = search.subtree(trees, moves[:, ply])
            return follower.search(states, trees)

        self._act = jax.jit(act)

    def __call__(self, turn: Turn) -> np.ndarray:
        """Actions i32[P]."""
        turns = self._turns or [Remembered({}, self._follower.empty(turn.states))]
        rows, trees = max(
            ((remembered.find(turn), remembered.trees) for remembered in turns),
            key=lambda found: (found[0] >= 0).sum(),
        )
        played = zip(rows, turn.histories, strict=True)
        moves = np.array([history[-2:] if row >= 0 else (-1, -1) for row, history in played], np.int32)
        actions, trees, kept = self._act(turn.states, trees, np.maximum(rows, 0), moves)
        now = {tuple(history): row for row, history in enumerate(turn.histories)}
        self._turns.append(Remembered(now, trees))
        self.kept.append(np.asarray(kept)[turn.rows])
        return np.asarray(actions)

    def shares(self) -> dict[str, float]:
        """Kept visits over new simulations of all moves: mean and quartiles."""
        return spread(np.concatenate(self.kept) / self._follower.num_simulations)


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean and quartiles of f[N]."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {"mean": values.mean(), "quarter": low, "median": median, "three_quarters": high}


def plain_player(network: Network, policy: Policy, num_simulations: int) -> Player:
    """The same search without reuse."""
    searcher = searched_with(network.train, policy=policy, num_simulations=num_simulations)

    @jax.jit
    def act(states: Any) -> Any:
        return choose(*searcher, network.params, jax.random.key(0), states, memory=()).action

    return lambda turn: np.asarray(act(turn.states))


def match(config: Config, follower: Follower, num_simulations: int) -> dict[str, Any]:
    """Reuse against none with `num_simulations`; the interval's independent unit is a pair of games."""
    player = ReusingPlayer(follower)
    result = play_match(
        ENV,
        player,
        plain_player(follower.network, follower.policy, num_simulations),
        num_games=config.match_games,
        key=jax.random.key(config.seed),
        opening_plies=config.opening_plies,
    )
    return {
        "new_simulations": follower.num_simulations,
        "kept_share": player.shares(),
        "score": result.score,
        "low": result.interval[0],
        "high": result.interval[1],
        "wins": result.wins,
        "draws": result.draws,
        "losses": result.losses,
        "distinct_games": result.distinct_games,
    }


def random_openings(config: Config) -> Any:
    """States [B] after `config.opening_plies` random plies, too few to end a game."""
    low, high = config.opening_plies
    key, length_key = jax.random.split(jax.random.key(config.seed))
    states = init_batch(ENV, key, config.games)
    length = jax.random.randint(length_key, (config.games,), low, high + 1)
    for ply in range(high):
        action = random_actions(states, jax.random.fold_in(key, ply))
        states = where_rows(ply < length, step_batch(ENV, states, action, key), states)
    return states


def self_play_shares(config: Config, follower: Follower) -> dict[str, float]:
    """Kept visits over new simulations of all moves, if one tree follows both players' moves."""

    @jax.jit
    def one_ply(states: Any, trees: Tree, action: jax.Array) -> Any:
        action, trees, kept = follower.search(states, search.subtree(trees, action))
        return step_batch(ENV, states, action, jax.random.key(0)), trees, action, kept

    states, found = random_openings(config), []
    trees, action = follower.empty(states), jnp.full(config.games, -1, jnp.int32)
    while not (finished := np.asarray(is_finished(states))).all():
        states, trees, action, kept = one_ply(states, trees, action)
        found.append(np.asarray(kept)[~finished])
    return spread(np.concatenate(found) / follower.num_simulations)


def measure_reuse(config: Config, network: Network, policy: Policy, num_simulations: int) -> dict[str, Any]:
    """One row of the table: shares kept and the two matches."""
    follower = Follower(network, policy, num_simulations, 1 + config.room * num_simulations)
    shares = self_play_shares(config, follower)
    as_many_new = match(config, follower, num_simulations)
    fewer = round(num_simulations / (1 + as_many_new["kept_share"]["mean"]))
    as_many_visits = match(config, follower._replace(num_simulations=fewer), num_simulations)
    return {
        "policy": policy,
        "simulations": num_simulations,
        "kept_share_in_self_play": shares,
        "equal_new_simulations": as_many_new,
        "equal_visits": as_many_visits,
    }


# Cache


class CachedSearch:
    """Compiled: self-play's search with a table of `size` places, and the same without it."""

    def __init__(self, config: Config, network: Network, size: int) -> None:
        changes = {"policy": "gumbel", "num_simulations": config.cache_simulations}
        without = searched_with(network.train, **changes)
        within = searched_with(network.train, **changes, cache=size)
        self.params, self.size = network.params, size
        self.cache = cast(search.EvaluationCache, within[0].cache)

        def plain(params: Any, key: jax.Array, states: Any) -> Any:
            return choose(*without, params, key, states, explore=True, memory=()).action

        def cached(params: Any, key: jax.Array, states: Any, table: search.CacheState) -> Any:
            found = choose(*within, params, key, states, explore=True, memory=Memory(None, table))
            return found.action, found.table

        self.plain, self.cached = jax.jit(plain), jax.jit(cached, donate_argnums=3)

    def empty(self, states: Any) -> search.CacheState:
        """An empty table; every call makes new arrays, since a search donates them."""
        return self.cache.empty(self.size, self.params, states)


@functools.partial(jax.jit, static_argnames=("train", "restart"))
def advance(train: TrainConfig, games: Games, action: jax.Array, key: jax.Array, *, restart: bool) -> Games:
    """Plays `action` i32[B], or a random one in a game's opening; with `restart`, finished games start again."""
    random_key, new_key = jax.random.split(key)
    action = jnp.where(games.ply < games.opening, random_actions(games.states, random_key), action)
    after = step_batch(ENV, games.states, action, key)
    after = games._replace(states=after, ply=games.ply + 1, earned=games.earned + after.rewards[:, 0])
    if not restart:
        return after
    new = start_games(ENV, train, new_key, len(action))
    return where_rows(is_finished(after.states), new, after)


def counters(table: search.CacheState) -> np.ndarray:
    """i64[3]: positions requested, hits, shared."""
    return np.array([int(table.asked), int(table.hits), int(table.shared)])


def rates(counts: np.ndarray) -> dict[str, float]:
    """Hits and shared as shares of the positions requested."""
    asked, hits, shared = (int(count) for count in counts)
    return {"asked": asked, "hit_rate": hits / max(1, asked), "shared_rate": shared / max(1, asked)}


def hits_by_phase(config: Config, network: Network, run: CachedSearch) -> list[dict[str, Any]]:
    """Two rounds of games that begin together: one with an empty table, then one with the table it leaves."""
    rounds, table = [], None
    for number in range(2):
        key = jax.random.fold_in(jax.random.key(config.seed), number)
        games = start_games(ENV, network.train, key, config.games)
        table = run.empty(games.states) if table is None else table
        counts = np.zeros((PLIES + 1, 3), np.int64)
        counts[0] = counters(table)
        for ply in range(PLIES):
            ply_key = jax.random.fold_in(key, ply)
            action, table = run.cached(run.params, ply_key, games.states, table)
            counts[ply + 1] = counters(table)
            games = advance(network.train, games, action, ply_key, restart=False)
        found = {name: rates(counts[last] - counts[first]) for name, (first, last) in PHASES.items()}
        rounds.append(found | {"all": rates(counts[-1] - counts[0])})
    return rounds


def games_at_all_plies(config: Config, network: Network) -> Games:
    """Games [B] at all plies: after 64 plies of self-play with few simulations and restarts."""
    train = replace(
        network.train, plies=64, games=config.games, search=replace(network.train.search, num_simulations=8)
    )

    @jax.jit
    def play(params: Any, key: jax.Array) -> Games:
        games = start_games(ENV, train, key, config.games)
        return self_play(ENV, *searched_with(train), train, params, key, games, record=lambda states: states)[
            0
        ]

    return play(network.params, jax.random.key(config.seed))


def seconds(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """The function's result, its wall seconds, and the CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = jax.block_until_ready(function())
    return found, time.perf_counter() - wall, time.process_time() - cpu


class Pair(NamedTuple):
    """One search with the table, and the same without."""

    cached_wall: float
    plain_wall: float
    cached_cpu: float
    plain_cpu: float
    same_actions: float
    """The share of games with the same action."""


def time_pairs(config: Config, network: Network, run: CachedSearch) -> tuple[list[Pair], np.ndarray]:
    """Searches ply by ply, with and without the table in turn; and the table's counters at the end."""
    games, key = games_at_all_plies(config, network), jax.random.key(config.seed + 1)
    jax.block_until_ready(run.plain(run.params, key, games.states))
    jax.block_until_ready(run.cached(run.params, key, games.states, run.empty(games.states)))
    table, pairs = run.empty(games.states), []
    for ply in range(config.plies):
        ply_key = jax.random.fold_in(key, ply)
        args = (run.params, ply_key, games.states)

        def with_table(args: tuple = args, table: search.CacheState = table) -> Any:
            return run.cached(*args, table)

        def without(args: tuple = args) -> Any:
            return run.plain(*args)

        if ply % 2:
            (action, table), wall, cpu = seconds(with_table)
            plain, plain_wall, plain_cpu = seconds(without)
        else:
            plain, plain_wall, plain_cpu = seconds(without)
            (action, table), wall, cpu = seconds(with_table)
        pairs.append(Pair(wall, plain_wall, cpu, plain_cpu, float((action == plain).mean())))
        games = advance(network.train, games, action, ply_key, restart=True)
    return pairs, counters(table)


def measure_cache(config: Config, network: Network, bits: int) -> dict[str, Any]:
    """One row of the table: hits, speed and its ratio."""
    run = CachedSearch(config, network, 2**bits)
    pairs, counts = time_pairs(config, network, run)
    columns = {name: statistics.median(values) for name, *values in zip(Pair._fields, *pairs, strict=True)}
    evaluations = config.games * config.cache_simulations
    return {
        "network": network.name,
        "table": f"2^{bits}",
        **rates(counts),
        "cached_evaluations_per_second": evaluations / columns["cached_wall"],
        "plain_evaluations_per_second": evaluations / columns["plain_wall"],
        "time_ratio": statistics.median(pair.cached_wall / pair.plain_wall for pair in pairs),
        "time_ratios": [pair.cached_wall / pair.plain_wall for pair in pairs],
        "cpu_time_ratio": statistics.median(pair.cached_cpu / pair.plain_cpu for pair in pairs),
        "same_actions": statistics.mean(pair.same_actions for pair in pairs),
        "by_ply": hits_by_phase(config, network, run),
    }


def networks(config: Config) -> list[Network]:
    """The trained network and the tower."""
    trained = load(config.run_dir)
    if config.tower_run_dir is not None:
        return [trained, load(config.tower_run_dir)]
    train = replace(trained.train, network=NetworkSettings(kind="resnet", width=32, blocks=3))
    params = build_algorithm(ENV, train).init(jax.random.key(config.seed))
    return [trained, Network(_name(train.network, "random weights"), train, params)]


def load(run_dir: Path) -> Network:
    """The network of a run."""
    agent, (train, _) = jzero.load(run_dir), read_config(run_dir)
    # Weights committed to a device would commit all results to it, and committed arrays compile again.
    params = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), agent.params)
    return Network(_name(train.network, "trained"), train, params)


def _name(network: NetworkSettings, origin: str) -> str:
    return f"{network.kind} {network.blocks} x {network.width}, {origin}"


# Tables


def reuse_table(cells: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Table rows, header first."""
    rows = [
        [
            "search",
            "N",
            "kept per move, self-play",
            "kept per move, match",
            "N new: score against N without reuse",
            "N'",
            "N' new: score against N without reuse",
            "new for a score of 0.5",
        ]
    ]
    for cell in cells:
        same, fewer = cell["equal_new_simulations"], cell["equal_visits"]
        rows.append(
            [
                cell["policy"],
                str(cell["simulations"]),
                _kept(cell["kept_share_in_self_play"]),
                _kept(same["kept_share"]),
                _score(same),
                str(fewer["new_simulations"]),
                _score(fewer),
                _even(cell),
            ]
        )
    return rows


def _even(cell: dict[str, Any]) -> str:
    """New simulations for a score of 0.5, between the two matches: the score is linear in their logarithm."""
    few, many = cell["equal_visits"], cell["equal_new_simulations"]
    low, high = few["score"], many["score"]
    if not low <= 0.5 <= high or low == high:
        return f"{'at most' if low > 0.5 else 'above'} {(few if low > 0.5 else many)['new_simulations']}"
    share = (0.5 - low) / (high - low)
    return f"{few['new_simulations'] ** (1 - share) * many['new_simulations'] ** share:.0f}"


def _kept(share: dict[str, float]) -> str:
    return f"{share['mean']:.2f} N ({share['median']:.2f} N)"


def _score(found: dict[str, Any]) -> str:
    return f"{found['score']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def cache_table(cells: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Times: table rows, header first."""
    rows = [["network", "table", "hits", "shared", "evaluations/s with", "without", "time with / without"]]
    for cell in cells:
        speeds = (cell[f"{name}_evaluations_per_second"] for name in ("cached", "plain"))
        rows.append(
            [
                cell["network"],
                cell["table"],
                _percent(cell["hit_rate"]),
                _percent(cell["shared_rate"]),
                *(f"{speed:,.0f}" for speed in speeds),
                f"{cell['time_ratio']:.2f}",
            ]
        )
    return rows


def phase_table(cells: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Hits and shared positions by ply: table rows, header first."""
    rows = [["network", "table", "games", *(f"plies {phase}" for phase in PHASES)]]
    for cell in cells:
        for name, found in zip(("first", "second"), cell["by_ply"], strict=True):
            phases = [
                f"{_percent(found[phase]['hit_rate'])} + {_percent(found[phase]['shared_rate'])}"
                for phase in PHASES
            ]
            rows.append([cell["network"], cell["table"], name, *phases])
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows, header first."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _rounded(value: Any) -> Any:
    """`value` with floats rounded to four significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main(config: Config) -> None:
    """Measures everything and prints the tables."""
    set_up(cpu_devices=1)
    both = networks(config)
    paths = {"run_dir": None, "tower_run_dir": None, "out": None}
    result: dict[str, Any] = {"benchmark": "reuse", "config": asdict(config) | paths, **provenance()}
    result["networks"] = [network.name for network in both]
    reused, cached = result.setdefault("reuse", []), result.setdefault("cache", [])
    begun = time.monotonic()

    def add(cells: list, cell: dict[str, Any]) -> None:
        cells.append(cell | {"measured_after_seconds": round(time.monotonic() - begun)})
        print(json.dumps(_rounded(to_json(cells[-1]))), flush=True)
        if config.out is not None:
            config.out.parent.mkdir(parents=True, exist_ok=True)
            config.out.write_text(json.dumps(_rounded(to_json(result)), indent=1) + "\n")

    if "reuse" in config.parts:
        for num_simulations in config.simulations:
            for policy in config.policies:
                add(reused, measure_reuse(config, both[0], policy, num_simulations))
        print("\n" + markdown(reuse_table(reused)) + "\n")
    if "cache" in config.parts:
        for network in both:
            for bits in config.table_bits:
                add(cached, measure_cache(config, network, bits))
        print("\n" + markdown(cache_table(cached)) + "\n\n" + markdown(phase_table(cached)))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
