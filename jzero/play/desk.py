"""The requests of the page, independent of the transport: a server, a notebook, a test.

Every request names a method of `METHODS` and its arguments; every answer is a JSON object. A game is

    {"id", "seed", "ply", "version", "seats", "simulations", "mover", "over", "outcome", "legal": {action: name},
     "moves": [name], "actions": [action], "values": [[P] or null] per ply,
     "board": {"url", "box", "areas"} or {"text"}, "note": text below the board, or ""}
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jzero.agent import Agent
from jzero.evaluate.gtp import go_rules
from jzero.play import notation
from jzero.play.analyst import LEVELS, Analyst
from jzero.play.game import HUMAN, Game, Outdated, Refused
from jzero.play.requests import checked
from jzero.play.store import Store
from jzero.pytrees import Json, PyTree
from jzero.show.rules import Rules, outcome, points

WORLDS = 64
"""Worlds that are sampled to show possible hidden information."""
WORLDS_SHOWN = 6
CODED = "A learned code of chance stands for no position of the game."
"""Shown in place of a board after a learned code."""


class Desk:
    """Games in one environment, and the agents that play them."""

    def __init__(self, agents: Sequence[Agent], names: Sequence[str], folder: Path | None = None) -> None:
        """Makes a desk.

        Args:
            agents: one or two agents for the same environment.
            names: their names on the page.
            folder: folder of saved games; None for memory only.

        Raises:
            ValueError: the actions are continuous, or the agents play different games.
        """
        first = agents[0]
        self.rules = Rules(first.env, first.name)
        if self.rules.spec.action_size:
            raise ValueError(
                f"{first.name} has continuous actions, which cannot be clicked; watch the episodes in its report"
            )
        self.names = list(names)
        self._analysts = [Analyst(agent, self.rules) for agent in agents]
        self._simulations = next((n for n in LEVELS if n >= first.search.num_simulations), LEVELS[-1])
        self.store = Store(self.rules, folder)
        self._lock = threading.RLock()

    def ask(self, method: str, arguments: Json) -> Json:
        """The answer to one request.

        Raises:
            Refused: the request is invalid; the message is for the person at the board.
        """
        if method not in METHODS:
            raise Refused(f"there is no request {method!r:.40}")
        with self._lock:
            try:
                return METHODS[method](self, **checked(METHODS[method], arguments))
            except RecursionError as error:
                raise Refused("the request is nested too deeply") from error

    def warm_up(self) -> Iterator[None]:
        """Compiles, step by step, the programs for the first moves and answers; skips an emulator, which would
        move.
        """
        if self.rules.spec.external:
            return
        game = Game.new(self.rules, [HUMAN] * self.rules.spec.num_players, 0, 0)
        game.play(self.rules, self.rules.legal(game.state)[0])
        yield
        for analyst in self._analysts:
            for level in (0, *LEVELS[1:3]):
                for _ in analyst.think(game.states[0], ("", 0), level, _key(game, 0)):
                    yield

    def info(self) -> Json:
        """Facts about the game and the agents for the page."""
        spec = self.rules.spec
        return {
            "env": spec.name,
            "players": spec.num_players,
            "agents": self.names,
            "levels": list(LEVELS),
            "simulations": self._simulations,
            "hidden": spec.hidden_information,
            "worlds": spec.resamples,
            "sgf": go_rules(self.rules.env) is not None,
            "zero_sum": spec.num_players == 2 and not spec.values_by_seat,
        }

    def new(
        self,
        seats: list[str] | None = None,
        simulations: int | None = None,
        seed: int | None = None,
        actions: list[int] | None = None,
    ) -> Json:
        """A new game, optionally with first moves."""
        players = self.rules.spec.num_players
        seats = [HUMAN, *["0"] * (players - 1)] if seats is None else seats
        level = self._simulations if simulations is None else simulations
        game = Game.new(self.rules, self._seats(seats), self._level(level), seed)
        for action in actions or []:
            game.play(self.rules, action)
        self.store.add(game)
        return self._shown(game)

    def get(self, game: str) -> Json:
        """The current game."""
        return self._shown(self.store.get(game))

    def play(self, game: str, ply: int, action: int) -> Json:
        """Plays a human's move at this ply."""
        found = self._at(game, ply)
        if not self.rules.over(found.state) and found.seats[self.rules.mover(found.state)] != HUMAN:
            raise Refused("it is not your turn")
        return self._played(found, action)

    def undo(self, game: str, ply: int) -> Json:
        """Takes moves back until a human is to move."""
        found = self._at(game, ply)
        if self.rules.spec.external:
            raise Refused("an emulator cannot take moves back")
        found.undo()
        self.store.add(found)
        return self._shown(found)

    def sit(self, game: str, seats: list[str], simulations: int) -> Json:
        """Sets the players of the seats, and the number of simulations."""
        found = self.store.get(game)
        found.seats, found.simulations = self._seats(seats), self._level(simulations)
        self.store.add(found)
        return self._shown(found)

    def position(self, game: str, ply: int, path: list[int], agent: int = 0) -> Json:
        """The board after `path` from this ply, with the names of its edges; nothing is played.

        Hidden information comes from a world that the agent searched along the path, if there is one. A learned
        model may expect an illegal action: the path, and its names, end before it. After a learned code of chance
        there is no board.
        """
        found = self.store.get(game)
        if not 0 <= ply <= found.ply:
            raise Refused("the game has no such move")
        if path and not self._may_see(found, ply):
            raise Refused("this would show hidden cards")
        states, names = self._analyst(agent).walk(
            found.states[ply], (found.id, ply), path, _number(found, ply)
        )
        if path and not names:
            raise Refused("there is no such line")
        state = states[-1]
        viewer = self._viewer(found, found.states[ply] if path else state)
        coded = len(names) >= len(states)
        board = {"text": CODED} if coded else self.rules.board(state, viewer, imagined=bool(path))
        return {
            "board": board,
            "names": names,
            "mover": self.rules.mover(state),
            "over": self.rules.over(state),
        }

    def tree(self, game: str, ply: int, path: list[int], agent: int = 0) -> Json:
        """The children of a node in the last search at this ply, each with its name."""
        found = self.store.get(game)
        if not 0 <= ply <= found.ply or not self._may_see(found, ply):
            return {"children": []}
        place, seed = (found.id, ply), _number(found, ply)
        return {"children": self._analyst(agent).children(found.states[ply], place, path, seed)}

    def worlds(self, game: str, ply: int) -> Json:
        """Possible hidden information for the player to move: pictures of sampled worlds and their shares."""
        found = self._at(game, ply)
        if not self.rules.spec.resamples:
            raise Refused("this game has no hidden information")
        if self.rules.over(found.state) or not self._may_see(found, found.ply):
            raise Refused("only the player to move can see what it believes")
        states = self._resampled(found)
        shares: dict[tuple[str, str], int] = {}
        for row in range(WORLDS):
            board = self.rules.board(jax.tree.map(lambda x, row=row: x[row], states), None)
            picture = board.get("url", ""), board.get("text", "")
            shares[picture] = shares.get(picture, 0) + 1
        most = sorted(shares.items(), key=lambda pair: -pair[1])[:WORLDS_SHOWN]
        shown = [{"url": url, "text": text, "share": count / WORLDS} for (url, text), count in most]
        return {"worlds": shown, "different": len(shares), "drawn": WORLDS}

    def text(self, game: str, sgf: bool = False) -> Json:
        """The game as text for saving."""
        found = self.store.get(game)
        write = notation.to_sgf if sgf else notation.to_text
        return {"text": write(found, self.rules), "file": f"game.{'sgf' if sgf else 'txt'}"}

    def load(self, text: str, seats: list[str] | None = None, simulations: int | None = None) -> Json:
        """A game from its text, with the seats and the strength of `new`."""
        seed, actions = notation.from_text(text, self.rules)
        return self.new(seats, simulations, seed, actions)

    def think(
        self, game: str, ply: int, simulations: int, agent: int = 0, move: bool = False
    ) -> Iterator[Json]:
        """Yields an agent's analysis of the position at this ply, search by search.

        Args:
            game: its id.
            ply: moves made so far.
            simulations: simulations of the largest search.
            agent: which agent.
            move: the agent to move plays the result of the last search; the last answer is then the game.
        """
        with self._lock:
            found = self._at(game, ply) if move else self.store.get(game)
            if not 0 <= ply <= found.ply:
                raise Refused("the game has no such move")
            state = found.states[ply]
            if self.rules.over(state):
                raise Refused("the game is over")
            if move:
                seat = found.seats[self.rules.mover(state)]
                if seat == HUMAN:
                    raise Refused("it is a human's turn")
                agent, simulations = int(seat), found.simulations
            visible = self._may_see(found, ply)
            if not visible and not move:
                raise Refused("this would show hidden cards")
            thoughts = self._analyst(agent).think(
                state, (found.id, ply), self._level(simulations), _key(found, ply)
            )
        thought: Json = {}
        for thought in thoughts:
            if visible:
                yield {"thought": thought}
        if move:
            with self._lock:
                found = self._at(game, ply)
                found.values[ply] = thought["value"]
                yield {"game": self._played(found, thought["action"])}
        elif visible:
            with self._lock:
                self._note(game, ply, thought["value"])

    def _note(self, game: str, ply: int, value: list[float]) -> None:
        """Stores the value of a position for the curve."""
        found = self.store.get(game)
        if ply <= found.ply:
            found.values[ply] = value
            self.store.add(found)

    def _played(self, game: Game, action: int) -> Json:
        game.play(self.rules, action)
        self.store.add(game)
        return self._shown(game)

    def _at(self, name: str, ply: int) -> Game:
        """The game, if `ply` is its last ply.

        Raises:
            Outdated: the game has advanced.
        """
        game = self.store.get(name)
        if game.ply != ply:
            raise Outdated("the game has advanced in another window")
        return game

    def _analyst(self, agent: int) -> Analyst:
        if not 0 <= agent < len(self._analysts):
            raise Refused(f"there is no agent {agent}")
        return self._analysts[agent]

    def _seats(self, seats: list[str]) -> list[str]:
        allowed = {HUMAN, *map(str, range(len(self._analysts)))}
        if len(seats) != self.rules.spec.num_players or not set(seats) <= allowed:
            agents = ", ".join(map(str, range(len(self._analysts))))
            raise Refused(
                f"seats are {' '.join(seats)}; expected human or one of {agents} for each of "
                f"{self.rules.spec.num_players} players"
            )
        return seats

    def _level(self, simulations: int) -> int:
        if simulations not in LEVELS:
            raise Refused(f"simulations is {simulations}; expected one of {', '.join(map(str, LEVELS))}")
        return simulations

    def viewer(self, game: str) -> int | None:
        """The player whose view is shown; None if everything may be shown."""
        found = self.store.get(game)
        return self._viewer(found, found.state)

    def _viewer(self, game: Game, state: PyTree) -> int | None:
        """The player whose cards are shown: the only human, or the human to move; None without humans."""
        humans = [seat for seat, who in enumerate(game.seats) if who == HUMAN]
        mover = self.rules.mover(state)
        if not humans:
            return None
        return mover if mover in humans else humans[0]

    def _may_see(self, game: Game, ply: int) -> bool:
        """Whether an analysis of this ply hides what the viewer may not see."""
        if not self.rules.spec.hidden_information or self.rules.over(game.state):
            return True
        state = game.states[ply]
        return self._viewer(game, state) in (None, self.rules.mover(state))

    def _resampled(self, game: Game) -> PyTree:
        env: Any = self.rules.env
        keys = jax.random.split(_key(game, game.ply), WORLDS)
        return jax.vmap(env.resample, in_axes=(None, 0))(game.state, keys)

    def _shown(self, game: Game) -> Json:
        rules, state = self.rules, game.state
        over, viewer = rules.over(state), self._viewer(game, state)
        board = rules.board(state, viewer)
        earned = rules.reward(game.states)
        note = f"step {game.ply}, return {points(earned[0])}" if rules.spec.num_players == 1 else ""
        if "url" not in board and rules.spec.draws:
            note = "The picture would show hidden cards, so it appears when the game is over."
        elif "url" not in board and rules.spec.num_players > 1:
            note = "This game has no picture: choose moves by name."
        players = [f"player {seat + 1}" for seat in range(rules.spec.num_players)]
        visible = self._may_see(game, game.ply)
        legal = rules.names(state) if visible else {}
        return {
            "id": game.id,
            "seed": game.seed,
            "ply": game.ply,
            "seats": game.seats,
            "simulations": game.simulations,
            "mover": game.movers[-1],
            "movers": game.movers,
            "over": over,
            "outcome": outcome(earned, players) if over else "",
            "earned": earned,
            "legal": {str(action): name for action, name in legal.items()},
            "moves": game.names,
            "actions": game.actions,
            "values": [game.values.get(ply) for ply in range(game.ply + 1)],
            "board": board,
            "note": note,
            "analysed": visible,
        }


METHODS: dict[str, Callable[..., Json]] = {
    name: getattr(Desk, name)
    for name in ("info", "new", "get", "play", "undo", "sit", "position", "tree", "worlds", "text", "load")
}
"""Requests with one answer; `think` has several answers."""


def checked_think(arguments: Any) -> Json:
    """The arguments of `Desk.think`.

    Raises:
        Refused: they do not fit.
    """
    return checked(Desk.think, arguments)


def _number(game: Game, ply: int) -> int:
    """A number that differs between positions and games."""
    digest = hashlib.blake2s(f"{game.id} {ply}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def _key(game: Game, ply: int) -> jax.Array:
    """A number that differs between positions and games."""
    return jax.random.key(np.uint32(_number(game, ply)))
