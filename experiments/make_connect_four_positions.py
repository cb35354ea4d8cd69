"""Makes the four Connect Four test sets in experiments/data/, with exact values from BitBully.

    python experiments/make_connect_four_positions.py        (an hour; needs pip install "jzero[test]")

Two kinds of positions. In the games of `connect_four_positions*.json` a move that is not random is any that keeps
the game's value; in those of `connect_four_best_positions*.json` it has the best exact score (the fastest win, the
longest defence), which gives more forced fights. A file with `_dev` is for tuning, the other for measuring: no
position of one file, nor its mirror image, is in another. A player's score is the share of positions where its move
keeps the game's value; each file's recipe says how its positions were chosen. An existing file is kept: delete it
to remake it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import tyro
from jzero_envs.connect_four import ConnectFour

from jzero.evaluate.engines import BitBullyProcess
from jzero.evaluate.positions import ILLEGAL

PLIES = 34
RANDOM_MOVE_CHANCES = (0.15, 0.4, 0.7)
GAMES_BEFORE_GIVING_UP = 1000
MOVES = {
    "keeping": "the moves that keep the exact value",
    "best": "the moves of the best exact score (the fastest win, the longest defence)",
}
NAMES = {"keeping": "after moves that keep the value", "best": "after moves of the best score"}
RECIPE = (
    "Each position is taken from its own game at a ply of 0..33. The chance of a random move is drawn "
    "once per game from {0.15, 0.4, 0.7}; any other move is drawn from MOVES. "
    "Kept: unfinished, new up to mirroring, and some legal move keeps the mover's game value (win, draw "
    "or loss) while another does not. The ply with the fewest positions is filled next, so all plies have "
    "the same share except the first few, which have too few such positions. Values are for the player to "
    "move: 1 the move wins, 0 draws, -1 loses, null illegal."
)


@dataclass(frozen=True)
class Config:
    """Sizes and seeds of the sets; those of best moves take the next two seeds."""

    folder: Path = Path(__file__).parent / "data"
    """Folder of the files."""
    size: int = 1000
    """Positions in a measuring set."""
    seed: int = 0
    """Seed of the measuring set."""
    dev_size: int = 500
    """Positions in a tuning set."""
    dev_seed: int = 1
    """Seed of the tuning set."""


@dataclass
class Maker:
    """Collects positions; `seen` holds every position of all sets."""

    solver: BitBullyProcess
    moves: str = "keeping"
    """Which of MOVES are played."""
    seen: set[tuple] = field(default_factory=set)

    def __post_init__(self) -> None:
        env = ConnectFour()
        self._key = jax.random.key(0)
        self._first = env.init(self._key)
        self._step = jax.jit(env.step)

    def make_set(self, size: int, seed: int) -> list[dict]:
        """`size` positions (or all there are), sorted by ply: {"moves": "334", "values": [1, 0, ...]}."""
        rng = np.random.default_rng(seed)
        by_ply: list[list[dict]] = [[] for _ in range(PLIES)]
        open_plies = set(range(PLIES))
        while open_plies and sum(map(len, by_ply)) < size:
            fewest = min(len(by_ply[ply]) for ply in open_plies)
            ply = int(rng.choice([ply for ply in sorted(open_plies) if len(by_ply[ply]) == fewest]))
            position = self._new_position(ply, rng)
            if position is None:
                open_plies.remove(ply)
            else:
                by_ply[ply].append(position)
        return [position for positions in by_ply for position in sorted(positions, key=lambda p: p["moves"])]

    def _new_position(self, ply: int, rng: np.random.Generator) -> dict | None:
        """A kept position after `ply` moves, or None if many games in a row gave none."""
        for _ in range(GAMES_BEFORE_GIVING_UP):
            moves = self._play(ply, rng)
            if moves is None or _position_key(moves) in self.seen:
                continue
            values = _values(self.solver.score_moves([moves])[0])
            if len(set(values) - {None}) > 1:
                self.seen.add(_position_key(moves))
                return {"moves": "".join(map(str, moves)), "values": values}
        return None

    def _play(self, ply: int, rng: np.random.Generator) -> list[int] | None:
        """The moves of one game up to `ply`, or None if it ended by then."""
        chance = rng.choice(RANDOM_MOVE_CHANCES)
        state, moves = self._first, []
        while len(moves) < ply and not state.terminated:
            if rng.random() < chance:
                candidates = np.flatnonzero(state.legal_action_mask)
            else:
                scores = self.solver.score_moves([moves])[0]
                good = scores == scores.max()
                if self.moves == "keeping":
                    good = np.sign(scores) == np.sign(scores.max())
                candidates = np.flatnonzero(good & (scores != ILLEGAL))
            moves.append(int(rng.choice(candidates)))
            state = self._step(state, moves[-1], self._key)
        return None if state.terminated else moves


def _position_key(moves: list[int]) -> tuple:
    """The same for two games that lead to the same position or to its mirror image."""
    columns: list[list[int]] = [[] for _ in range(7)]
    for ply, column in enumerate(moves):
        columns[column].append(ply % 2)
    return min(tuple(map(tuple, columns)), tuple(map(tuple, columns[::-1])))


def _values(scores: np.ndarray) -> list[int | None]:
    return [None if score == ILLEGAL else int(np.sign(score)) for score in scores]


def _random_score(positions: list[dict]) -> float:
    """The expected score of uniformly random legal moves."""
    legal = [[value for value in position["values"] if value is not None] for position in positions]
    return float(np.mean([values.count(max(values)) / len(values) for values in legal]))


def _write(path: Path, moves: str, seed: int, positions: list[dict]) -> None:
    """Writes one position per line and prints what the set is like."""
    recipe = RECIPE.replace("MOVES", MOVES[moves])
    header = {"game": "connect_four", "name": NAMES[moves], "recipe": recipe, "seed": seed}
    lines = ",\n".join(json.dumps(position, separators=(",", ":")) for position in positions)
    path.write_text(json.dumps(header)[:-1] + ', "positions": [\n' + lines + "\n]}\n")
    plies = np.bincount([len(position["moves"]) for position in positions], minlength=PLIES)
    print(f"{path.name}: {len(positions)} positions, {path.stat().st_size / 1000:.0f} kB")
    print(f"  random play scores {_random_score(positions):.3f}; positions at each ply: {plies.tolist()}")


def main(config: Config) -> None:
    """Makes the missing sets, without positions of the existing ones."""
    config.folder.mkdir(parents=True, exist_ok=True)
    plan = {
        "connect_four_positions.json": ("keeping", config.size, config.seed),
        "connect_four_positions_dev.json": ("keeping", config.dev_size, config.dev_seed),
        "connect_four_best_positions.json": ("best", config.size, config.seed + 2),
        "connect_four_best_positions_dev.json": ("best", config.dev_size, config.dev_seed + 2),
    }
    with BitBullyProcess() as solver:
        maker = Maker(solver)
        missing = []
        for name in plan:
            path = config.folder / name
            if not path.exists():
                missing.append(name)
                continue
            for position in json.loads(path.read_text())["positions"]:
                maker.seen.add(_position_key([int(column) for column in position["moves"]]))
        for name in missing:
            maker.moves, size, seed = plan[name]
            _write(config.folder / name, maker.moves, seed, maker.make_set(size, seed))


if __name__ == "__main__":
    main(tyro.cli(Config))
