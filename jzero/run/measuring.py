"""When a run measures its strength, and how long that may take."""

from __future__ import annotations

from jzero.evaluate.measures import Measure, TimedMeasure

SHARE = 0.2
"""Share of a run's time for measurements of strength; the final one may take half of it."""
EACH = SHARE / 6
"""Share of a run's time for each measurement during training."""


class MeasuringTimes:
    """The times of the measurements of one run."""

    def __init__(self, measure: Measure, minutes: float, every: float, seconds: float) -> None:
        """The first measurement is due at once.

        Args:
          measure: takes the measurements during training.
          minutes: of the whole run.
          every: least seconds from one measurement to the next.
          seconds: of the run so far.
        """
        self.budget = 60 * minutes
        """Seconds of the whole run."""
        self.each = EACH * self.budget
        """Seconds for each measurement during training."""
        self._timed, self._every, self._next = isinstance(measure, TimedMeasure), every, seconds
        self._last = self._all = 0.0  # seconds spent by the last measurement with its report, by all of them

    def due(self, seconds: float) -> bool:
        """Whether to measure when `seconds` of the run have passed.

        A measurement that would end after the time is up is left to the final one.
        """
        return seconds >= self._next and seconds + self._last < self.budget

    def took(self, begun: float, ended: float) -> None:
        """Notes a measurement. Most of the time stays for training, however long games are; a second is free."""
        spent = ended - begun  # nothing, the first time
        self._last = min(spent, self.each) if self._timed else spent  # all beyond that was compiling
        self._all += self._last
        self._next = ended + max(self._every, (2 / SHARE - 1) * (self._last - 1))

    def final(self, measure: Measure) -> float:
        """Seconds for the final `measure`."""
        if isinstance(measure, TimedMeasure) and measure.share is not None:
            return self.budget * measure.share
        left = self.budget * SHARE
        return max(left / 2, left - self._all)
