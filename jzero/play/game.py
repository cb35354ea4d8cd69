"""A game in progress: its moves, its seats, and the states that follow from them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from jzero.pytrees import Json, PyTree
from jzero.show.rules import Rules

MAX_PLIES = 20_000
HUMAN = "human"


class Refused(ValueError):
    """An invalid request; the message is a sentence for the person at the board."""

    status = 400
    """HTTP status."""


class Gone(Refused):
    """There is no such game."""

    status = 404


class Outdated(Refused):
    """The game has advanced since the page was drawn."""

    status = 409


@dataclass
class Game:
    """Moves and seats; states are recomputed from the seed when needed."""

    id: str
    seed: int
    seats: list[str]
    """Who plays each seat: "human", or the number of an agent as text."""
    simulations: int
    """Simulations per move of an agent."""
    actions: list[int] = field(default_factory=list)
    values: dict[int, list[float]] = field(default_factory=dict)
    """Ply -> value from an analysis, of each player [P] or of the first one [1]."""
    created: float = field(default_factory=time.time)
    states: list[PyTree] = field(default_factory=list, repr=False)
    """States of every ply so far; empty after reading a file."""
    movers: list[int] = field(default_factory=list, repr=False)
    """The player to move in each of the states."""
    names: list[str] = field(default_factory=list, repr=False)
    """The names of the moves."""

    @classmethod
    def new(cls, rules: Rules, seats: Sequence[str], simulations: int, seed: int | None = None) -> Game:
        """A game before its first move, with an id that cannot be guessed."""
        number = secrets.randbits(31) if seed is None else seed
        game = cls(secrets.token_urlsafe(9), number, list(seats), simulations)
        game.replay(rules)
        return game

    def replay(self, rules: Rules) -> None:
        """Recomputes the states.

        Raises:
            Refused: the moves are not legal, so the file belongs to another game.
        """
        if len(self.states) == len(self.actions) + 1:
            return
        actions, self.actions, self.names, self.states = self.actions, [], [], [rules.first(self.seed)]
        self.movers = [rules.mover(self.state)]
        for action in actions:
            self.play(rules, action)

    @property
    def state(self) -> PyTree:
        """The newest state."""
        return self.states[-1]

    @property
    def ply(self) -> int:
        """Number of moves so far."""
        return len(self.actions)

    def play(self, rules: Rules, action: int) -> None:
        """Makes a move.

        Raises:
            Refused: it is illegal, or the game is over.
        """
        if rules.over(self.state):
            raise Refused("the game is over; undo a move, or start a new game")
        if self.ply >= MAX_PLIES:
            raise Refused(f"a game has at most {MAX_PLIES} moves here")
        if not 0 <= action < rules.spec.num_actions or not bool(self.state.legal_action_mask[action]):
            name = rules.name_of(self.state, action) if 0 <= action < rules.spec.num_actions else str(action)
            raise Refused(f"{name} is not legal in this position")
        self.names.append(rules.name_of(self.state, action))
        self.states.append(rules.after(self.state, action, self.seed, self.ply + 1))
        self.movers.append(rules.mover(self.state))
        self.actions.append(action)

    def undo(self) -> None:
        """Takes moves back until a human is to move.

        Raises:
            Refused: there is nothing to take back.
        """
        human = [ply for ply in range(self.ply) if self.seats[self.movers[ply]] == HUMAN]
        if not human:
            raise Refused("there is no move of yours to take back")
        keep = human[-1]
        self.actions, self.names = self.actions[:keep], self.names[:keep]
        self.states, self.movers = self.states[: keep + 1], self.movers[: keep + 1]
        self.values = {ply: value for ply, value in self.values.items() if ply <= keep}

    def to_json(self, env_name: str) -> Json:
        """The content of the game's file."""
        return {
            "env": env_name,
            "id": self.id,
            "seed": self.seed,
            "seats": self.seats,
            "simulations": self.simulations,
            "actions": self.actions,
            "values": {str(ply): value for ply, value in self.values.items()},
            "created": self.created,
        }
