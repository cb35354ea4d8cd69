"""What the tests of engines share: a searcher that answers from a script, and a conversation without a process."""

import itertools
from collections import deque

import numpy as np

from jzero.engine.thinker import Finding


class FakePending:
    """A search that has ended after so many looks."""

    def __init__(self, finding, looks):
        self._finding, self._looks = finding, looks

    def ready(self):
        self._looks -= 1
        return self._looks < 0

    def finding(self):
        return self._finding

    def leave(self):
        self.left = True


class FakeThinker:
    """Finds the `wanted` actions, in turn, or the lowest legal ones; remembers what it is asked.

    The first three legal actions get visits, and values 0.5, -0.5, 0.0 in this order; a line is one action long.
    """

    def __init__(self, most=64, wanted=(), looks=0, speed=100.0):
        self.most, self.looks, self.speed = most, looks, speed
        self.wanted, self.asked = itertools.chain(wanted, itertools.repeat(-1)), []

    def number_for(self, seconds):
        return max(1, min(self.most, int(self.speed * seconds)))

    def begin(self, states, simulations):
        legal = np.flatnonzero(np.asarray(states.legal_action_mask[0]))
        self.asked.append((simulations, legal.tolist()))
        wanted = next(self.wanted)
        chosen = [a for a in dict.fromkeys([wanted, *legal.tolist()]) if a in legal][:3]
        numbers = {
            "visits": np.zeros(states.legal_action_mask.shape[1], np.int32),
            "qvalues": np.zeros(states.legal_action_mask.shape[1], np.float32),
            "prior": np.asarray(states.legal_action_mask[0], np.float32) / max(1, len(legal)),
        }
        for action, visits, value in zip(chosen, (simulations, 2, 1), (0.5, -0.5, 0.0), strict=False):
            numbers["visits"][action], numbers["qvalues"][action] = visits, value
        lines = {int(action): [int(action)] for action in chosen}
        finding = Finding(simulations, 0.1, int(chosen[0]), 0.25, **numbers, lines=lines)
        return FakePending(finding, self.looks)


class FakeLines:
    """The lines of a controller that has written all of `text`; a search looks `patience` times in vain."""

    def __init__(self, text, patience=0):
        self._lines, self._patience, self._left = deque(text.splitlines()), patience, patience

    def waiting(self, seconds=0.0):
        self._left -= 1
        return self._left < 0

    def next(self):
        self._left = self._patience
        return self._lines.popleft() if self._lines else None


def converse(make_server, text, patience=0):
    """All that a server writes in answer to `text`; `make_server(lines, write)`."""
    said = []
    make_server(FakeLines(text, patience), said.append).serve()
    return "".join(said)
