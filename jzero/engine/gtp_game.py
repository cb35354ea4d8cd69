"""A Go game as a GTP controller sees it: colours that move out of turn, clocks, searches.

GTP allows what `go` and pgx's Go do not; the two are reconciled as follows:
- a colour that moves twice: the other one passes in between;
- moves after two passes: the passes are removed from the game that the agent sees;
- a move that repeats an earlier board: illegal (by pgx's rules it can be played, and loses);
- komi: `final_score` uses it; the agent plays for the komi it was trained with.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from jzero.engine import go
from jzero.engine.clock import Clock
from jzero.engine.game import Game, Position, row
from jzero.engine.thinker import Finding, Thinks, think
from jzero.evaluate.gtp import to_vertex
from jzero.pytrees import States


class Refusal(Exception):
    """A command fails; the message is the answer after the question mark."""


class GtpGame:
    """The game of one session, and the searches of its positions."""

    def __init__(self, game: Game, thinker: Thinks, *, komi: float, simulations: int | None = None) -> None:
        """A game before its first move.

        Args:
            game: a Go game at its start.
            thinker: searches its positions.
            komi: komi of the environment.
            simulations: simulations per move, at most; None: as many as the clock and the thinker allow.

        Raises:
            ValueError: the game is not Go.
        """
        self.size = go.rules_of(game.env)[0]
        self.game, self.thinker, self.komi, self.simulations = game, thinker, komi, simulations
        self.clocks: list[Clock | None] = [None, None]
        self.found: Finding | None = None

    @property
    def passing(self) -> int:
        """The pass action."""
        return self.size**2

    def ready_for(self, color: int) -> States:
        """The states with `color` to move.

        Raises:
            Refusal: the game has reached its maximum number of moves.
        """
        positions, at, passes = self.game.positions, len(self.game.positions) - 1, 0
        while at and set(positions[at].actions) == {self.passing}:
            passes, at = passes + len(positions[at].actions), at - 1
        newest, before = self.game.states, positions[at].states
        if not self.game.over:
            if go.to_move(row(newest)) == color:
                return newest
        elif passes < 2:
            raise Refusal("illegal move: the game has reached its maximum number of moves")
        if passes and go.to_move(row(before)) == color:
            return before
        return self.game.after(self.passing, before)

    def play(self, color: int, action: int) -> bool:
        """Plays a move of `color`; False if it is illegal."""
        if action == self.passing and self.game.over:
            self.game.positions.append(Position(self.game.states, (action,)))
            return True
        states = self.ready_for(color)
        if not bool(states.legal_action_mask[0, action]):
            return False
        after = self.game.after(action, states)
        if go.repeats(row(after)):
            return False
        self.game.positions.append(Position(after, (action,)))
        return True

    def choose(self, color: int, finding: Finding, states: States) -> int:
        """The action of a search in `states`, or the best other one if it would repeat an earlier board."""
        legal = np.asarray(states.legal_action_mask[0])
        others = np.argsort(-finding.prior, kind="stable")
        for action in (*finding.ranked(), *others.tolist()):
            if action == self.passing:
                break
            if legal[action] and not go.repeats(row(self.game.after(action, states))):
                return action
        return self.passing

    def move(
        self, color: int, *, keep: bool = True, tell: Callable[[Finding], None] = lambda found: None
    ) -> str:
        """Searches and plays a move of `color`; returns the vertex."""
        begun, clock = time.monotonic(), self.clocks[color]
        try:
            states = self.ready_for(color)
        except Refusal:
            return "pass"
        if clock is None:
            number = self.thinker.most if self.simulations is None else self.simulations
            findings = iter([self.thinker.begin(states, number).finding()])
        else:
            findings = think(self.thinker, states, simulations=self.simulations, seconds=clock.seconds())
        for finding in findings:
            self.found = finding
            tell(finding)
        action = self.choose(color, finding, states)
        if keep:
            self.game.positions.append(Position(self.game.after(action, states), (action,)))
        if clock is not None and keep:
            clock.used(time.monotonic() - begun)
        return to_vertex(action, self.size)
