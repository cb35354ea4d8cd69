"""Independent opponents: random play, OpenSpiel's Monte-Carlo tree search, and a perfect Connect Four player.

Each is a `Player` of `arena.play_match`. Extras are imported on first use, so `jzero.evaluate` loads without them.
Axes: G rows of a turn, N positions, A actions.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType

import jax
import numpy as np

from jzero.env import Env, random_actions_in
from jzero.evaluate.positions import ILLEGAL
from jzero.evaluate.turns import Player, Turn, as_player

_WORKER = Path(__file__).with_name("bitbully_worker.py")


def random_player(env: Env) -> Player:
    """A player that samples uniformly from the legal actions, or from [-1, 1] for continuous ones."""
    return as_player(partial(random_actions_in, env))


def open_spiel_mcts(
    game_name: str,
    num_simulations: int,
    seed: int = 0,
    *,
    uct_c: float = 2.0,
    rollouts: int = 1,
    translate: Callable[[Sequence[int]], list[int]] | None = None,
) -> Player:
    """OpenSpiel's C++ UCT search with random rollouts, which also proves wins and losses.

    The game must have no chance. Every move is a new search whose seed comes from `seed`, the turn's key and the
    row: a match is reproducible, and its games differ from each other. A forced move is played without a search:
    when both players of Othello must pass, OpenSpiel's game ends two plies before pgx's.

    Args:
        game_name: OpenSpiel's name of the game, with parameters if any, such as "connect_four".
        num_simulations: simulations per move.
        seed: any integer >= 0.
        uct_c: exploration constant.
        rollouts: random games per leaf; their results are averaged.
        translate: maps a game's actions to OpenSpiel's numbers, distinct for the legal actions of a position. None
            if the numbers are the same, as in Connect Four, tic-tac-toe and pgx's Othello.

    Raises:
        ImportError: OpenSpiel is not installed.
        ValueError: OpenSpiel has no such game.
    """
    pyspiel = _import_extra("pyspiel")
    try:
        game = pyspiel.load_game(game_name)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"OpenSpiel has no game {game_name!r} ({reason}): choose another opponent, such as "
            "rollouts, which plays any game that can be searched"
        ) from error

    def choose(history: Sequence[int], move_seed: int) -> int:
        state = game.new_initial_state()
        for action in history:
            state.apply_action(action)
        evaluator = pyspiel.RandomRolloutEvaluator(rollouts, move_seed)
        bot = pyspiel.MCTSBot(game, evaluator, uct_c, num_simulations, 1000, True, move_seed, False)
        return bot.step(state)

    def play(turn: Turn) -> np.ndarray:
        actions = np.zeros(len(turn.rows), np.int32)
        words = np.asarray(jax.random.key_data(turn.key)).ravel().tolist()
        mask = np.asarray(turn.states.legal_action_mask)
        for row in np.flatnonzero(turn.rows):
            (word,) = np.random.SeedSequence([seed, *words, int(row)]).generate_state(1)
            history, legal = turn.histories[row], np.flatnonzero(mask[row]).tolist()
            if len(legal) == 1:
                actions[row] = legal[0]
            elif translate is None:
                actions[row] = choose(history, int(word) >> 1)
            else:
                chosen = choose(translate(history), int(word) >> 1)
                actions[row] = next(a for a in legal if translate([*history, a])[-1] == chosen)
        return actions

    return play


class BitBullyProcess:
    """BitBully, an exact Connect Four solver, in a child process that ends with the `with` block.

    BitBully is licensed under the AGPL: it runs as a separate program and is never imported here.

    Example:
        with BitBullyProcess() as solver:
            solver.score_moves([[], [3]])

    Raises:
        ImportError: BitBully is not installed.
    """

    def __init__(self) -> None:
        _require("bitbully")
        # -P: the worker's folder stays off the import path, where its neighbours could hide other modules.
        # A session of its own: Ctrl-C reaches this process only, which then closes the child.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> BitBullyProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child process; may be called twice."""
        self._process.kill()
        self._process.communicate()

    def score_moves(self, histories: Sequence[Sequence[int]]) -> np.ndarray:
        """Scores every move of every position.

        Args:
            histories: N games, each a list of the columns 0..6 played so far.

        Returns:
            i8[N, 7] for the player to move: positive wins, 0 draws, negative loses; larger means a sooner win or a
            later loss. Only the sign is the game's value. `ILLEGAL` if the column is full or the game is over.

        Raises:
            RuntimeError: the child process has died (its output is on stderr).
        """
        request = json.dumps([[int(action) for action in history] for history in histories])
        try:
            self._requests.write(request + "\n")
            self._requests.flush()
            answer = self._answers.readline()
        except (BrokenPipeError, ValueError) as error:
            raise RuntimeError("the BitBully process has ended; open a new BitBullyProcess") from error
        if not answer:
            raise RuntimeError(f"the BitBully process died on {request[:200]}; its error is on stderr")
        scores = [[ILLEGAL if score is None else score for score in row] for row in json.loads(answer)]
        return np.array(scores, np.int8).reshape(-1, 7)


def bitbully_player(solver: BitBullyProcess) -> Player:
    """A perfect Connect Four player: wins soonest, loses latest, breaks ties at random."""

    def play(turn: Turn) -> np.ndarray:
        rows = np.flatnonzero(turn.rows)
        scores = solver.score_moves([turn.histories[row] for row in rows])
        noise = np.asarray(jax.random.uniform(turn.key, scores.shape))
        actions = np.zeros(len(turn.rows), np.int32)
        actions[rows] = (scores + 0.5 * noise).argmax(axis=-1)
        return actions

    return play


def _import_extra(module: str) -> ModuleType:
    """Imports a module of the `test` extra."""
    _require(module)
    return importlib.import_module(module)


def _require(module: str) -> None:
    """Raises the one-line ImportError if a module of the `test` extra is missing; imports nothing."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f'{module} is not installed; run: pip install "jzero[test]"')
