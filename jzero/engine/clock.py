"""Time per move from the clocks of GTP and UCI, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

MOVES_TO_GO = 25
"""Number of moves that the main time should last, if the controller does not say it."""
KEPT = 1.0
"""Reserve of the main time in seconds, since a busy machine moves late."""
MARGIN = 0.05
"""Seconds per move for communication."""


@dataclass
class Clock:
    """The clock of one player: main time, then byoyomi periods of `stones` moves in `period` seconds."""

    left: float
    """Seconds left of the main time, or of the current period."""
    period: float = 0.0
    """Seconds per byoyomi period; 0 for none."""
    stones: int = 0
    """Moves per period."""
    japanese: bool = False
    """Whether periods have one move each, and `said` counts periods instead of moves."""
    to_play: int = 0
    """Moves left in the current period; 0 in the main time."""

    def seconds(self) -> float:
        """Seconds for the next move."""
        if self.to_play:
            return max(0.0, self.left / self.to_play - MARGIN)
        if self.left <= 0 and self.period:
            return max(0.0, self.period / max(1, self.stones) - MARGIN)
        return for_move(self.left, reserve=self.period / max(1, self.stones) if self.period else 0.0)

    def used(self, seconds: float) -> None:
        """Subtracts the time of a move; a `time_left` from the controller overrides it."""
        self.left -= seconds
        if self.to_play:
            self.to_play -= 1
            if not self.to_play:
                self.left, self.to_play = self.period, max(1, self.stones)
        elif self.left <= 0 and self.period:
            self.left, self.to_play = self.period, max(1, self.stones)

    def said(self, left: float, stones: int) -> None:
        """Sets the time left, as the controller reports it: of the main time if `stones` is 0, else of this
        period.
        """
        self.left, self.to_play = left, min(stones, 1) if self.japanese else stones


def for_move(
    left: float, *, increment: float = 0.0, moves_to_go: int | None = None, reserve: float = 0.0
) -> float:
    """Seconds for the next move.

    Args:
        left: seconds on the player's clock.
        increment: seconds added per move.
        moves_to_go: moves until the next time control; None if there is none.
        reserve: seconds per move after the main time.
    """
    spare = left - min(KEPT, 0.5 * left)
    share = spare / (moves_to_go or MOVES_TO_GO) + 0.7 * max(increment, reserve)
    # Never so much of the clock that one slow move loses on time, unless a reserve catches it.
    return max(0.0, min(share, 0.5 * left + 0.8 * reserve) - MARGIN)
