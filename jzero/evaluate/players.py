"""Players of matches by name: random play, search with random games, external programs, user functions.

| name | plays |
|---|---|
| `random` | any game |
| `rollouts:1000` | any game that can be searched; 1,000 simulations per move, each ends with a random game |
| `minimax:4` | two players without chance or hidden information; wins and losses within 4 plies, else random |
| `open_spiel_mcts:1000` | the games of `OPEN_SPIEL`; 1,000 simulations per move |
| `gnu_go:10` | Go; at level 10 |
| `bitbully` | Connect Four; perfect play |
| `gtp:COMMAND` | Go; any program that speaks GTP and follows the game's rules (`jzero.evaluate.gtp`) |
| `module:function` | the player that a function of the environment returns; options: `module:function?depth=2` |

The numbers are the defaults and are optional.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from jzero.env import Env
from jzero.env_spec import describe
from jzero.evaluate.engines import BitBullyProcess, bitbully_player, open_spiel_mcts, random_player
from jzero.evaluate.gtp import GtpProcess, gnu_go, go_rules, gtp_player
from jzero.evaluate.minimax import MAX_DEPTH, minimax_player
from jzero.evaluate.rollouts import rollout_player
from jzero.evaluate.turns import Player, Turn
from jzero.look import look
from jzero.models.plan import SearchSettings
from jzero.registry import literal_options, load_named, unknown_name

if TYPE_CHECKING:
    from jzero.agent import Agent

OPEN_SPIEL = {
    "connect_four": "connect_four",
    "tic_tac_toe": "tic_tac_toe",
    "pgx:connect_four": "connect_four",
    "pgx:tic_tac_toe": "tic_tac_toe",
    "pgx:othello": "othello",
}
"""OpenSpiel's names of the games whose actions have the same numbers there."""

DEFAULTS: dict[str, int | None] = {
    "random": None,
    "rollouts": 1000,
    "minimax": 4,
    "open_spiel_mcts": 1000,
    "gnu_go": 10,
    "bitbully": None,
}
"""The known names and their default numbers; None: it takes no number."""


class Opponent(NamedTuple):
    """A player, its name, and a function that ends the program behind it."""

    name: str
    """Its full name, such as "rollouts:1000"."""
    words: str
    """Description of the player."""
    player: Player
    close: Callable[[], None] = lambda: None


def agent_player(agent: Agent, num_simulations: int | None) -> Player:
    """The agent as a player of matches.

    Args:
        agent: the agent.
        num_simulations: simulations per move; None for those of its run, 0 for the policy without search.

    It breaks ties at random: otherwise an untrained agent would play the lowest action numbers in a row, which wins
    games such as Gomoku.
    """

    def play(turn: Turn) -> np.ndarray:
        options = {"num_simulations": num_simulations, "break_ties": True}
        return np.asarray(agent.act(turn.states, turn.key, **options))

    return play


def is_opponent(name: str) -> bool:
    """Whether `name` has the form of an opponent: a known name, or a user function."""
    return name.partition(":")[0] in (*DEFAULTS, "gtp") or _is_own(name)


def open_opponent(env: Env, env_name: str, name: str, *, seed: int = 0) -> Opponent:
    """The opponent called `name`; starts the program that it needs.

    Args:
        env: the game.
        env_name: its name for `jzero.make`.
        name: see the table of this module.
        seed: seed of OpenSpiel's search. (Other players use the key of a turn; GNU Go has one seed for all games.)

    Raises:
        ValueError: there is no such opponent, or it does not play this game.
        ImportError: it is not installed.
    """
    kind, colon, text = name.partition(":")
    if kind == "gtp":
        return _gtp(env, env_name, name, text)
    if kind not in DEFAULTS:
        if _is_own(name):
            return Opponent(name, name, _own(env, name))
        raise ValueError(
            f"{unknown_name('opponent', name, list(DEFAULTS))}; or give module:function, or gtp:COMMAND"
        )
    number = DEFAULTS[kind]
    if colon:
        number = _number(name, kind, text)
    if kind == "random":
        return Opponent("random", "a random player", random_player(env))
    if kind == "bitbully":
        return _bitbully(env_name)
    assert number is not None
    if kind == "rollouts":
        return rollouts(env, number)
    if kind == "minimax":
        return _minimax(env, env_name, number)
    return _gnu_go(env, env_name, number) if kind == "gnu_go" else _mcts(env_name, number, seed)


def _number(name: str, kind: str, text: str) -> int:
    """The number after the colon."""
    default = DEFAULTS[kind]
    if default is None:
        raise ValueError(f"opponent {name!r}: {kind} takes no number; give {kind!r}")
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(
            f"opponent {name!r}: {text!r} is not a number above 0; give one as in {kind}:{default}, or {kind!r}"
        )
    return int(text)


def rollouts(env: Env, num_simulations: int) -> Opponent:
    """PUCT with random games instead of a network, for any game that can be searched.

    Raises:
        ValueError: the game cannot be searched from a state.
    """
    if not searchable(env):
        raise ValueError(
            "opponent rollouts: this game cannot be searched (it is an emulator, has continuous actions, or has "
            "hidden information without `resample`); use random"
        )
    player = rollout_player(env, SearchSettings(policy="puct", dirichlet_fraction=0.0), num_simulations)
    words = f"tree search with {num_simulations} random rollouts"
    return Opponent(f"rollouts:{num_simulations}", words, player)


def searchable(env: Env) -> bool:
    """Whether a search with the rules, but without hidden information, can play the game from any state."""
    spec = describe(env)
    hides = spec.hidden_information and not spec.resamples
    return not (hides or spec.external or spec.action_size)


def _minimax(env: Env, env_name: str, depth: int) -> Opponent:
    """Alpha-beta search that values all positions without a result equally."""
    facts = look(env) if env.num_players == 2 and searchable(env) else None
    if facts is None or facts.chance or facts.hides or facts.points or facts.player_values:
        raise ValueError(
            "opponent minimax: it plays two-player games that end in a win, draw or loss, without chance or "
            f"hidden information; {env_name} is not one: use rollouts or random"
        )
    if depth > MAX_DEPTH:
        raise ValueError(f"opponent 'minimax:{depth}': expected at most {MAX_DEPTH} plies")
    player = minimax_player(env, lambda state: jnp.zeros(()), depth)
    return Opponent(f"minimax:{depth}", f"a minimax of {depth} plies", player)


def _mcts(env_name: str, num_simulations: int, seed: int) -> Opponent:
    """OpenSpiel's UCT with random rollouts."""
    if env_name not in OPEN_SPIEL:
        raise ValueError(
            f"opponent open_spiel_mcts: it plays {', '.join(OPEN_SPIEL)}, not {env_name}; use rollouts or random"
        )
    player = open_spiel_mcts(OPEN_SPIEL[env_name], num_simulations, seed)
    words = f"OpenSpiel's MCTS with {num_simulations} simulations"
    return Opponent(f"open_spiel_mcts:{num_simulations}", words, player)


def _gnu_go(env: Env, env_name: str, level: int) -> Opponent:
    """GNU Go on the game's board and with its komi."""
    size, komi = _go_rules(env, env_name, "gnu_go")
    engine = gnu_go(size, komi, level=level)
    return Opponent(f"gnu_go:{level}", f"{engine.name}, level {level}", gtp_player(engine), engine.close)


def _gtp(env: Env, env_name: str, name: str, text: str) -> Opponent:
    """Any program that speaks GTP, by its command line."""
    size, komi = _go_rules(env, env_name, "gtp")
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"opponent {name!r}: {error}; quote it as in a shell") from None
    if not command:
        raise ValueError(f"opponent {name!r}: no command; give one as in 'gtp:my-program --gtp'")
    engine = GtpProcess(command, size=size, komi=komi)
    return Opponent(name, f"{engine.name}, started with {text!r}", gtp_player(engine), engine.close)


def _go_rules(env: Env, env_name: str, kind: str) -> tuple[int, float]:
    """Rows of the board and komi of Go."""
    rules = go_rules(env)
    if rules is None:
        raise ValueError(
            f"opponent {kind}: it plays go, pgx:go_9x9 and pgx:go_19x19, not {env_name}; choose another"
        )
    return rules


def _bitbully(env_name: str) -> Opponent:
    """The perfect player."""
    if OPEN_SPIEL.get(env_name) != "connect_four":
        raise ValueError(f"opponent bitbully: it plays connect_four, not {env_name}; use rollouts or random")
    solver = BitBullyProcess()
    return Opponent("bitbully", "BitBully, a perfect player", bitbully_player(solver), solver.close)


def _is_own(name: str) -> bool:
    """Whether the name has the form "module:function"."""
    module, _, function = name.partition("?")[0].partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _own(env: Env, name: str) -> Player:
    """The player that the function `name` ("module:function?key=literal") makes for the environment."""
    target, _, text = name.partition("?")
    function = load_named(f"opponent {name!r}", "function of the environment", target)
    options = literal_options(f"opponent {name!r}", text, "depth=2")
    try:
        inspect.signature(function).bind(env, **options)
    except TypeError as error:
        raise ValueError(
            f"opponent {name!r}: {error}; it takes {inspect.signature(function)}: the environment comes first, "
            "options go into the name as in module:function?key=literal"
        ) from None
    player = function(env, **options)
    if not callable(player):
        raise ValueError(
            f"opponent {name!r}: it returned {type(player).__name__}, expected a player, a function of a Turn; "
            "jzero.evaluate.as_player makes one from a function (states, key) -> actions"
        )
    return player
