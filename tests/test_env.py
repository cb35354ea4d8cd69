"""The protocol's helpers, `make`, and `check_env` on environments broken on purpose, one rule at a time."""

import collections
import dataclasses
import itertools
import sys
import tomllib
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import EnvError, check_env, init_batch, make, observe_batch, step_batch
from jzero.check import Played
from jzero.env import (
    Symmetry,
    forfeit,
    is_finished,
    keep_finished,
    random_actions,
    random_actions_in,
    replace,
)
from jzero.registry import options_of
from tests.helpers.env_examples import Aim, Dice, Emulator, TwoPiles

KEY = jax.random.key(0)


# The helpers.


def test_batches_have_a_leading_axis_and_their_own_keys():
    states = jax.jit(lambda: init_batch(Dice(), KEY, 64))()
    after = jax.jit(lambda: step_batch(Dice(), states, jnp.zeros(64, jnp.int32), KEY))()
    assert states.legal_action_mask.shape == (64, 2)
    assert {int(total) for total in states.total} == {0, 1, 2}
    assert {int(rolled) for rolled in after.total - states.total} == {1, 2, 3}
    assert observe_batch(Dice(), after)["ply"].tolist() == [1] * 64


def test_finished_is_terminated_or_truncated():
    states = init_batch(TwoPiles(), KEY, 4)._replace(
        terminated=jnp.array([False, True, False, True]), truncated=jnp.array([False, False, True, True])
    )
    assert is_finished(states).tolist() == [False, True, True, True]


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_keep_finished_keeps_a_finished_state_without_its_rewards(ending):
    start = TwoPiles().init(KEY)
    other = TwoPiles().take(start, 0, KEY)._replace(rewards=jnp.array([1.0, -1.0]))
    assert keep_finished(start, other).piles.tolist() == [2, 3]
    assert keep_finished(start, other).rewards.tolist() == [1.0, -1.0]
    ended = start._replace(rewards=jnp.array([-1.0, 1.0]), **{ending: jnp.bool_(True)})
    kept = keep_finished(ended, other)
    assert kept.rewards.tolist() == [0.0, 0.0]
    chex.assert_trees_all_equal(kept._replace(rewards=ended.rewards), ended)


def test_forfeit_loses_for_the_mover_alone():
    start = replace(TwoPiles().init(KEY), rewards=jnp.zeros(3), current_player=jnp.int32(1))
    other = start._replace(piles=jnp.array([1, 1]))
    assert forfeit(start, jnp.bool_(False), other).piles.tolist() == [1, 1]
    lost = forfeit(start, jnp.bool_(True), other)
    assert lost.rewards.tolist() == [1.0, -1.0, 1.0]
    assert lost.terminated
    assert not lost.legal_action_mask.any()
    assert lost.piles.tolist() == [3, 3]


def test_replace_takes_named_tuples_and_dataclasses():
    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int
        y: int

    assert replace(Point(1, 2), y=3) == Point(1, 3)
    assert replace(TwoPiles().init(KEY), piles=7).piles == 7


# make


def register(monkeypatch, folder: Path, **targets: str) -> None:
    """Puts a distribution with these entry points on the path, as installing a package does."""
    info = folder / "fake_games-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-games\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in targets.items()]
    (info / "entry_points.txt").write_text("\n".join(["[jzero.envs]", *lines]))
    monkeypatch.syspath_prepend(folder)


def test_make_builds_a_registered_name(monkeypatch, tmp_path):
    register(monkeypatch, tmp_path, two_piles="tests.helpers.env_examples:TwoPiles")
    assert isinstance(make("two_piles"), TwoPiles)


def test_make_hands_an_adapter_the_name_of_its_game(monkeypatch, tmp_path):
    (tmp_path / "fake_adapter.py").write_text(
        "from tests.helpers.env_examples import Dice, TwoPiles\n"
        "class Adapter(TwoPiles):\n"
        "    def __init__(self, game, size=1):\n"
        "        self.game, self.size = game, size\n"
    )
    register(monkeypatch, tmp_path, fake="fake_adapter:Adapter")
    env = make("fake:some_game", size=9)
    assert (env.game, env.size) == ("some_game", 9)
    env = make("fake:some_game?size=3")
    assert (env.game, env.size) == ("some_game", 3)


def test_make_finds_modules_in_the_working_directory(monkeypatch, tmp_path):
    (tmp_path / "game_of_mine.py").write_text(
        "from tests.helpers.env_examples import Dice, TwoPiles as Mine\n"
    )
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "game_of_mine.py").write_text("")  # of the same name, next to the script that is run
    monkeypatch.syspath_prepend(scripts)
    monkeypatch.chdir(tmp_path)
    assert make("game_of_mine:Mine").num_actions == 4


def test_a_module_of_a_package_that_another_hides_is_told_with_the_folder(monkeypatch, tmp_path):
    (tmp_path / "games_of_mine").mkdir()
    (tmp_path / "games_of_mine" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"No module named 'games_of_mine.nim'; Python found the package 'games_of_mine' in"
    ) as e:
        make("games_of_mine.nim:Nim")
    assert str(tmp_path / "games_of_mine") in str(e.value)
    (tmp_path / "games_of_mine" / "nim.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(ValueError, match=r"No module named 'nowhere_to_be_found'$"):
        make("games_of_mine.nim:Nim")


def test_a_module_that_lacks_an_import_is_not_met_with_its_own_name(monkeypatch, tmp_path):
    (tmp_path / "my_game.py").write_text("import nowhere_at_all\nclass MyGame: pass\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"No module named 'nowhere_at_all'$") as caught:
        make("my_game:MyGame")
    assert "did you mean" not in str(caught.value)


def test_a_file_in_place_of_a_module_is_told_with_the_right_name(monkeypatch, tmp_path):
    (tmp_path / "lonely_game.py").write_text("from tests.helpers.env_examples import TwoPiles as Mine\n")
    monkeypatch.chdir(tmp_path)
    for file in ("lonely_game.py", "./lonely_game.py", str(tmp_path / "lonely_game.py")):
        with pytest.raises(ValueError, match=r"is a file; give its module.*directory: lonely_game:Mine$"):
            make(f"{file}:Mine")
    with pytest.raises(ValueError, match=r"is a file; .*: games.nim:Nim$"):
        make("games/nim.py:Nim")
    with pytest.raises(ValueError, match="did you mean 'lonely_game:Mine'"):
        make("lonly_game:Mine")
    for name in ("lonely_game.Mine", "lonely_game.py", "lonely_game"):
        said = "lonely_game:Mine" if name.endswith("Mine") else "lonely_game:Class"
        with pytest.raises(ValueError, match=f'or give "{said}"$'):
            make(name)


def test_the_games_of_this_repository_are_registered():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    for name, target in project["project"]["entry-points"]["jzero.envs"].items():
        if target.startswith("envs.") and ".adapters." not in target:
            assert make(target).name == name


def test_options_are_the_arguments_of_a_constructor_and_of_those_that_it_hands_the_rest():
    class Inner:
        def __init__(self, size, *, speed=1.0):
            self.size, self.speed = size, speed

    class Outer(Inner):
        def __init__(self, backend="spring", **more):
            super().__init__(**more)

    class Closed(Outer):
        def __init__(self, *colours, level=1):
            super().__init__()

    assert options_of(Outer) == ["backend", "size", "speed"]
    assert options_of(Closed) == ["level"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two_pils", "unknown env 'two_pils': did you mean 'two_piles'\\? known: .*two_piles.*module:Class"),
        ("xyzzy", "unknown env 'xyzzy': known: .*two_piles.*module:Class"),
        (
            "no_such_module:Game",
            "cannot import the module 'no_such_module': No module named 'no_such_module'; start in the folder of "
            "no_such_module.py, or add that folder to PYTHONPATH",
        ),
        (".x:Y", r"env '\.x:Y': '\.x' is not a module name; give it as Python imports it from the working"),
        (":Y", "env ':Y': '' is not a module name"),
        ("two_piles?size", "env 'two_piles': cannot read the option 'size'; expected key=literal"),
        ("two_piles?size=a b", "cannot read the option 'size=a b'"),
        (
            "tests.helpers.env_examples:TwoPilez",
            "module 'tests.helpers.env_examples' has no class 'TwoPilez'; did you mean 'TwoPiles'\\?",
        ),
        ("pxg:othello", "cannot import the module 'pxg'.*; did you mean 'pgx:othello'\\?"),
        ("itertools:Zzz", "the module 'itertools' has no class 'Zzz'; it was read from Python itself"),
        ("tests.helpers.env_examples:Qqq", "no class 'Qqq'; it was read from .*env_examples.py"),
        ("pgx", "env 'pgx': missing a required argument: 'name'; it takes .*adapter:game"),
        ("two_piles?size=3", "env 'two_piles': got an unexpected keyword argument 'size'"),
        (
            "collections:OrderedDict",
            "lacks the attribute num_actions .*, the method init\\(key\\), .*step.*observe",
        ),
    ],
)
def test_make_says_what_is_wrong_in_one_line(monkeypatch, tmp_path, name, message):
    register(monkeypatch, tmp_path, two_piles="tests.helpers.env_examples:TwoPiles")
    with pytest.raises(ValueError, match=message) as caught:
        make(name)
    assert "\n" not in str(caught.value)


# check_env


def problems_of(env) -> list[str]:
    try:
        check_env(env, num_games=8, max_plies=20)
    except EnvError as error:
        title, *lines = str(error).splitlines()
        assert title.startswith(getattr(env, "name", type(env).__name__))
        assert all(line.startswith("- ") for line in lines)
        return [line.removeprefix("- ") for line in lines]
    return []


@pytest.mark.parametrize("env", [TwoPiles(), Dice(), Aim()], ids=["two piles", "dice", "aim"])
def test_check_env_finds_nothing_wrong_with_a_good_environment(env):
    assert problems_of(env) == []


def broken(members):
    """TwoPiles with some members replaced."""
    return type("Broken", (TwoPiles,), members)()


def starting(**fields):
    """The `init` of TwoPiles with other fields in its result, each a function of no argument."""
    return lambda self, key: TwoPiles.init(self, key)._replace(**{f: value() for f, value in fields.items()})


def stepping(**fields):
    """The `step` of TwoPiles with other fields in its result, functions of the states before and after."""

    def step(self, state, action, key):
        new = TwoPiles.step(self, state, action, key)
        return new._replace(**{field: value(state, new) for field, value in fields.items()})

    return step


def init_short_of_a_field(self, key):
    fields = TwoPiles.init(self, key)._asdict()
    del fields["truncated"]
    return collections.namedtuple("Short", fields)(**fields)


def step_with_if(self, state, action, key):
    return state if action > 1 else TwoPiles.step(self, state, action, key)


def case(message, **members):
    """`members` of TwoPiles are replaced, and `message` is part of the one line that check_env has to say."""
    return message, members


def flip(piles):
    return piles[::-1]


def unseen(self, state):
    return jnp.zeros(2)


def random_start(self, key):
    left = (2 + jax.random.bits(key) % 2).astype(jnp.int32)
    return TwoPiles.init(self, key)._replace(piles=jnp.stack([left, 5 - left]))


def step_with_luck(self, state, action, key):
    new = TwoPiles.step(self, state, action, key)
    lucky = (new.piles[0] == 1) & (jax.random.bits(key) % 2 == 1)
    return new._replace(piles=new.piles.at[0].add(lucky))


calls = itertools.count()


def resample_moving(self, state, key):
    other = jax.random.bernoulli(key)
    return state._replace(current_player=jnp.where(other, 1 - state.current_player, state.current_player))


def resample_knowing(self, state, key):
    """Adds to what nobody sees, instead of drawing it."""
    return state._replace(piles=state.piles + 1 + jax.random.bernoulli(key))


def resample_other_dtype(self, state, key):
    return state._replace(piles=state.piles.astype(jnp.float32))


BROKEN = {
    "resample of nothing": case(
        "resample returns the same state for all keys",
        resample=lambda self, state, key: state,
    ),
    "resample of the board": case(
        "resample changes the observation: resample only what the player to move cannot see",
        resample=resample_knowing,
    ),
    "resample of the mover": case(
        "resample changes the player to move",
        resample=resample_moving,
    ),
    "resample from hidden things": case(
        "resample returns different results for states that differ only in hidden information",
        resample=resample_knowing,
        observe=lambda self, state: jnp.zeros(2),
        symmetries=(),
        fingerprint=lambda self, state: jnp.stack([jnp.uint32(0), state.current_player.astype(jnp.uint32)]),
    ),
    "reveal without resample": case(
        "it has reveal but no resample(state, key), so a search would see hidden information",
        reveal=lambda self, state: state.piles,
    ),
    "reveal of nothing": case(
        "reveal(state) does not return an array; remove it if nothing is hidden",
        reveal=lambda self, state: (),
        resample=lambda self, state, key: state,
    ),
    "resample to another dtype": case(
        "resample(state, key) returns another structure, shape or dtype",
        resample=resample_other_dtype,
    ),
    # Found without playing.
    "no method": case("it lacks the method observe(state)", observe=None),
    "count of the wrong type": case("num_actions is 'four', not an int", num_actions="four"),
    "too few actions": case("the state's legal_action_mask is bool[4], not bool[3]", num_actions=3),
    "missing field": case("lacks the field truncated (bool[])", init=init_short_of_a_field),
    "field of another dtype": case(
        "the state's terminated is int32[], not bool[]", init=starting(terminated=lambda: jnp.int32(0))
    ),
    "field of another shape": case(
        "the state's rewards is float32[3], not float32[2]", init=starting(rewards=lambda: jnp.zeros(3))
    ),
    "init fails": case("init(key) fails under jax.jit: ZeroDivisionError", init=lambda self, key: 1 / 0),
    "if on an array": case("step(state, action, key) fails under jax.jit: Tracer", step=step_with_if),
    "dtype changes": case(
        "step turns the state's .piles from int32[2] into float32[2]",
        step=stepping(piles=lambda old, new: new.piles / 1),
    ),
    "structure changes": case(
        "only one of init and step returns the state's .piles", step=stepping(piles=lambda old, new: ())
    ),
    "observation fails": case(
        "observe(state) fails under jax.jit: AttributeError", observe=lambda self, state: state.board
    ),
    "observation of as many rows as stones": case(
        "observe(state) fails under jax.jit: NonConcreteBooleanIndexError",
        observe=lambda self, state: state.piles[state.piles > 0],
    ),
    "empty observation": case("observe(state) does not return an array", observe=lambda self, state: ()),
    "fingerprint of another dtype": case(
        "fingerprint(state) is int32[2], not uint32[2]", fingerprint=lambda self, state: state.piles
    ),
    "outcomes that are no array": case(
        "outcome_features(state, player) does not return one array of numbers",
        outcome_features=lambda self, state, player: (state.piles,),
    ),
    "outcomes that do not turn": case(
        "symmetries[0].observation cannot transform the output of outcome_features, int32[]: use the layout",
        symmetries=(Symmetry(lambda seen: jnp.flip(jnp.atleast_1d(seen)), np.array([2, 3, 0, 1])),),
        outcome_features=lambda self, state, player: state.piles[0],
        observe=lambda self, state: state.piles,
    ),
    "no permutation": case(
        "symmetries[0].action is not a permutation of 0..3",
        symmetries=(Symmetry(flip, np.array([2, 2, 0, 1])),),
    ),
    "symmetry of another shape": case(
        "symmetries[0].observation changes the shape or dtype",
        symmetries=(Symmetry(lambda piles: piles[:1], np.array([2, 3, 0, 1])),),
    ),
    # Found by playing.
    "starts finished": case(
        "init(key) returns a finished state", init=starting(truncated=lambda: jnp.bool_(True))
    ),
    "starts with rewards": case(
        "init(key) returns rewards that are not zero", init=starting(rewards=lambda: jnp.array([1.0, -1.0]))
    ),
    "chance in init": case(
        "init returns different results for the same arguments",
        init=starting(piles=lambda: jnp.array([3 + next(calls) % 2, 3])),
    ),
    "chance in step": case(
        "step returns different results for the same arguments",
        step=stepping(piles=lambda old, new: new.piles + jnp.where(old.terminated, 0, next(calls))),
    ),
    "chance in observe": case(
        "observe returns different results for the same arguments",
        observe=lambda self, state: state.piles.astype(jnp.float32) + next(calls),
    ),
    "observation of another shape every time": case(
        "observe returns different results for the same arguments",
        observe=lambda self, state: jnp.pad(state.piles, (0, next(calls) % 2)),
        symmetries=(),
        fingerprint=lambda self, state: jnp.stack(
            [state.piles[0] * 8 + state.piles[1], state.current_player]
        ).astype(jnp.uint32),
    ),
    "rewards for one player": case(
        "the state's rewards is float32[1], not float32[2]: one number per player",
        init=starting(rewards=lambda: jnp.zeros(1)),
    ),
    "rewards that grow": case(
        "step turns the state's .rewards from float32[2] into float32[3]",
        step=stepping(rewards=lambda old, new: jnp.zeros(3)),
    ),
    "nothing to do": case(
        "legal_action_mask is empty in an unfinished state",
        init=starting(legal_action_mask=lambda: jnp.zeros(4, bool)),
    ),
    "no such player": case(
        "current_player is not one of 0..1",
        step=stepping(current_player=lambda old, new: jnp.where(new.terminated, 2, new.current_player)),
    ),
    "NaN observed": case(
        "the observation has a NaN or an infinity",
        observe=lambda self, state: 0.0 / state.piles.astype(jnp.float32),
    ),
    "NaN rewarded": case(
        "the rewards have a NaN or an infinity",
        step=stepping(rewards=lambda old, new: jnp.where(new.rewards == 1, jnp.nan, new.rewards)),
    ),
    "both win": case(
        "the two players' rewards do not sum to zero",
        step=stepping(rewards=lambda old, new: abs(new.rewards)),
    ),
    "rewards go on": case(
        "stepping a finished state returns rewards",
        step=stepping(rewards=lambda old, new: jnp.where(old.terminated, old.rewards, new.rewards)),
    ),
    "play goes on": case(
        "stepping a finished state changes it",
        step=stepping(piles=lambda old, new: new.piles + old.terminated),
    ),
    "fingerprints clash": case(
        "two positions with different observations or movers have one fingerprint",
        fingerprint=lambda self, state: state.piles.at[0].set(0).astype(jnp.uint32),
    ),
    "no picture": case(
        "svg(state) does not return a string with one <svg>", svg=lambda self, state: "a board"
    ),
    "symmetry with other actions": case(
        "symmetries[0] does not preserve the game: the image differs in observation",
        symmetries=(Symmetry(flip, np.array([3, 2, 1, 0])),),
    ),
    "symmetry with other legal actions": case(
        "symmetries[0] does not preserve the game: the image differs in legal actions",
        observe=unseen,
        symmetries=(Symmetry(flip, np.array([3, 2, 1, 0])),),
    ),
    "moves twice": case(
        "a player moves twice in a row: give the class `alternates = False`",
        step=stepping(
            current_player=lambda old, new: jnp.where(
                new.piles.sum() == 4, old.current_player, new.current_player
            )
        ),
    ),
    "symmetry with another mover": case(
        "symmetries[0] does not preserve the game: the image differs in mover",
        alternates=False,
        step=stepping(
            current_player=lambda old, new: jnp.where(
                (new.piles == jnp.array([2, 3])).all(), old.current_player, new.current_player
            )
        ),
    ),
    "symmetry with another outcome": case(
        "symmetries[0] does not preserve the game: the image differs in outcome",
        step=stepping(rewards=lambda old, new: new.rewards + (new.piles[0] == 2) * jnp.array([0.5, -0.5])),
    ),
    "symmetry with another picture": case(
        "symmetries[0] does not preserve the game: the image differs in observation (",
        symmetries=(Symmetry(lambda piles: piles, np.array([2, 3, 0, 1])),),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_check_env_says_what_is_broken(case):
    message, members = BROKEN[case]
    (problem,) = problems_of(broken(members))
    assert message in problem


def test_rewards_of_64_bits_are_told_how_to_be_of_32():
    with jax.enable_x64(True):
        problems = problems_of(TwoPiles())
    assert any("float64[2], not float32[2]" in one and "jnp.zeros(2, jnp.float32)" in one for one in problems)


def test_check_env_says_that_what_is_revealed_is_not_finite():
    members = {"reveal": lambda self, state: 1.0 / (state.piles - 1), "resample": resample_knowing}
    assert any(
        "the output of reveal has a NaN or an infinity" in problem for problem in problems_of(broken(members))
    )


def test_check_env_lists_all_that_is_broken():
    cases = ["chance in observe", "both win", "no picture", "starts with rewards"]
    members = {name: member for case in cases for name, member in BROKEN[case][1].items()}
    problems = problems_of(broken(members))
    assert len(problems) == len(cases)
    for case in cases:
        assert any(BROKEN[case][0] in problem for problem in problems), case


def test_check_env_does_not_play_an_emulator():
    assert check_env(Emulator()) == Played(0, 0, 0)
    emulator = Emulator()
    emulator.external = False
    assert any(
        "step returns different results for the same arguments" in problem
        for problem in problems_of(emulator)
    )


def test_check_env_allows_rewards_that_do_not_sum_to_zero_where_the_environment_says_so():
    assert problems_of(broken(BROKEN["both win"][1] | {"zero_sum": False})) == []


@pytest.mark.parametrize(
    "members",
    [
        {"init": random_start, "observe": unseen, "hidden_information": True},
        {"step": step_with_luck},
        {"init": starting(piles=lambda: jnp.array([3, 2]))},
    ],
    ids=["chance in init", "chance in step", "start that is not symmetric"],
)
def test_check_env_does_not_judge_symmetries_that_play_cannot_show(members):
    assert problems_of(broken(members)) == []


def step_without_clipping(self, state, action, key):
    new = Aim.step(self, state, action, key)
    return new._replace(rewards=jnp.where(state.ply < self.length, -jnp.sum(action**2), 0.0)[None])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"action_size": -1}, "action_size is -1, not an int of at least 1"),
        ({"action_size": 2.0}, "action_size is 2.0, not an int of at least 1"),
        ({"action_size": 3}, "step(state, action, key), with an action float32[3], fails under jax.jit"),
        ({"num_actions": 4}, "it has action_size 2 and num_actions 4: keep only one of them"),
        ({"symmetries": TwoPiles.symmetries}, "it has continuous actions and symmetries"),
        (
            {"init": lambda self, key: Aim.init(self, key)._replace(legal_action_mask=jnp.ones(2, bool))},
            "the state's legal_action_mask is bool[2], not bool[1]",
        ),
        (
            {"step": step_without_clipping},
            "step does not clip numbers outside [-1, 1]: start it with `action = jnp.clip(action, -1, 1)`",
        ),
    ],
)
def test_check_env_says_what_is_broken_where_actions_are_continuous(members, message):
    problems = problems_of(type("Broken", (Aim,), members)())
    assert any(message in problem for problem in problems), problems


def test_random_actions_of_both_kinds():
    states = init_batch(Dice(), KEY, 64)
    assert random_actions_in(Dice(), states, KEY).tolist() == random_actions(states, KEY).tolist()
    vectors = random_actions_in(Aim(), init_batch(Aim(), KEY, 64), KEY)
    assert vectors.shape == (64, 2)
    assert vectors.dtype == jnp.float32
    assert -1 <= vectors.min() < -0.9
    assert 0.9 < vectors.max() <= 1
