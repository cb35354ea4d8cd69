"""How long a move may take: the clocks of GTP and UCI, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

MOVES_TO_GO = 25
"""Moves for which the main time is to last, where nobody says how many are left."""
KEPT = 1.0
"""Seconds of the main time that are not shared out: a busy machine makes a move late."""
MARGIN = 0.05
"""Seconds of each move that go to pipes and to the controller."""


@dataclass
class Clock:
    """The time of one player: a main time, then byoyomi of `stones` moves in `period` seconds."""

    left: float
    """Seconds of the main time, or of the period under way."""
    period: float = 0.0
    """Seconds of a period of byoyomi; 0 for none."""
    stones: int = 0
    """Moves of a period."""
    japanese: bool = False
    """Periods have one move each, and `said` counts periods in place of moves."""
    to_play: int = 0
    """Moves that are left in the period under way; 0 in the main time."""

    def seconds(self) -> float:
        """What the next move may take."""
        if self.to_play:
            return max(0.0, self.left / self.to_play - MARGIN)
        if self.left <= 0 and self.period:
            return max(0.0, self.period / max(1, self.stones) - MARGIN)
        return for_move(self.left, reserve=self.period / max(1, self.stones) if self.period else 0.0)

    def used(self, seconds: float) -> None:
        """A move took so long; the controller's own word, `time_left`, is better where it is given."""
        self.left -= seconds
        if self.to_play:
            self.to_play -= 1
            if not self.to_play:
                self.left, self.to_play = self.period, max(1, self.stones)
        elif self.left <= 0 and self.period:
            self.left, self.to_play = self.period, max(1, self.stones)

    def said(self, left: float, stones: int) -> None:
        """The controller says what is left: of the main time where `stones` is 0, else of this period."""
        self.left, self.to_play = left, min(stones, 1) if self.japanese else stones


def for_move(
    left: float, *, increment: float = 0.0, moves_to_go: int | None = None, reserve: float = 0.0
) -> float:
    """Seconds for the next move.

    Args:
        left: seconds on the player's clock.
        increment: seconds that each move adds.
        moves_to_go: moves until more time comes; None if it never does.
        reserve: seconds that a move has after the main time.
    """
    spare = left - min(KEPT, 0.5 * left)
    share = spare / (moves_to_go or MOVES_TO_GO) + 0.7 * max(increment, reserve)
    # Never so much of the clock that one slow move loses on time, unless a reserve catches it.
    return max(0.0, min(share, 0.5 * left + 0.8 * reserve) - MARGIN)
