"""check_env: finds and explains the problems of an environment."""

from jzero.check.chance import chance_problems
from jzero.check.errors import explain
from jzero.check.play import Played, play_problems
from jzero.check.shapes import shape_problems
from jzero.env import Env, has_chance


class EnvError(ValueError):
    """The problems that `check_env` found, one per line."""


def check_env(env: Env, *, seed: int = 0, num_games: int = 16, max_plies: int = 400) -> Played:
    """Plays `num_games` random games of at most `max_plies` plies and checks everything jzero relies on.

    Returns:
      the number of games and plies; if no game ended, ends are not checked. For an emulator (`external`), which
      cannot return to a state, only names, shapes and dtypes are checked, without games.

    Raises:
      EnvError: lists every problem and its fix. Problems that prevent games (a missing method, changing shapes) are
        listed alone, since the other checks need games.
    """
    if isinstance(env, type):
        raise EnvError(f"check_env got the class {env.__name__}: pass an environment, {env.__name__}()")
    problems = shape_problems(env)
    played = Played(num_games, 0, 0)
    if not problems and getattr(env, "external", False):
        return Played(0, 0, 0)
    if not problems:
        try:
            problems, played = play_problems(env, seed, num_games, max_plies)
        except Exception as error:  # not seen by tracing, such as values kept between calls
            problems = [explain("random play", error)]
    if not problems and has_chance(env):
        problems = chance_problems(env, seed=seed, num_games=num_games, max_plies=max_plies)
    _raise(env, problems)
    return played


def check_shapes(env: Env) -> None:
    """The checks of `check_env` without games: members, shapes and dtypes, by tracing.

    Raises:
      EnvError: lists the problems and their fixes.
    """
    _raise(env, shape_problems(env))


def _raise(env: Env, problems: list[str]) -> None:
    if problems:
        name = getattr(env, "name", type(env).__name__)
        lines = [f"- {text}" for text in problems]
        raise EnvError("\n".join([f"{name} violates the environment protocol (jzero.env.Env):", *lines]))
