"""`python -m jzero match`: every kind of game, the file and its page, going on after an interrupt, wrong input."""

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jzero
from jzero.evaluate import agent_player, as_player, open_opponent, play_match, random_player
from jzero.evaluate.encounters import rate
from jzero.run import match as match_lib
from jzero.run.entrants import spread
from jzero.run.match import Config, main, match
from tests.helpers.runs import save_run
from tests.helpers.tiny import REPOSITORY, child_environment, tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

WALK, BLOB = "tests.evaluate.test_measures:Walk", "blob?players=3&cards=1"
HERE = __name__
LOWEST = f"{HERE}:lowest"


def still(env):
    """A player that takes action 0."""
    return as_player(lambda states, key: jnp.zeros(states.terminated.shape, jnp.int32))


def lowest(env):
    """A player that takes the first legal action."""
    return as_player(lambda states, key: jnp.argmax(states.legal_action_mask, axis=-1).astype(jnp.int32))


def highest(env):
    """A player that takes the last legal action."""

    def act(states, key):
        numbers = jnp.arange(env.num_actions, dtype=jnp.int32)
        return jnp.where(states.legal_action_mask, numbers, -1).max(axis=-1)

    return as_player(act)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of tic-tac-toe and one of another game."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("a", "b")):
        save_run(folder / name, tiny(), seed)
    save_run(folder / "other", tiny(env=BLOB))
    return folder


def without_seconds(record):
    return {**record, "results": [{**r, "seconds": 0} for r in record["results"]]}


def test_all_pairs_of_runs_and_opponents_meet_and_are_rated(runs, tmp_path, capsys):
    a, b = str(runs / "a"), str(runs / "b")
    config = Config((f"{a}:0", b, "random"), games=8, seed=5, out=tmp_path / "new" / "folder")
    record = match(config)
    assert record == json.loads((tmp_path / "new" / "folder" / "match.json").read_text())
    names = [f"{a}:0", f"{b}:4", "random"]
    assert (record["env"], record["contest"], list(record["players"])) == ("tic_tac_toe", "pairs", names)
    assert [(r["player"], r["opponent"]) for r in record["results"]] == [
        (names[0], names[1]),
        (names[0], names[2]),
        (names[1], names[2]),
    ]
    agent = jzero.load(a)
    expected = play_match(
        agent.env,
        agent_player(agent, 0),
        random_player(agent.env),
        num_games=8,
        key=jax.random.key(5),
        opening_plies=(0, 2),
    )
    found = record["results"][1]
    assert [found["wins"], found["draws"], found["losses"]] == [
        expected.wins,
        expected.draws,
        expected.losses,
    ]
    assert (found["opening_plies"], found["seed"], found["asked"]) == ([0, 2], 5, 8)
    assert record["ratings"] == rate(record["results"], names)
    said = capsys.readouterr().out
    assert f"{names[0]} against random: {expected.wins} won, {expected.draws} drawn" in said
    assert re.search(rf"Elo with 95 % intervals; {re.escape(names[0])} has 0\n( .*\n){{3}}wrote ", said)
    for result in record["results"]:
        for key in result:
            assert f'"{key}"' in match_lib.__doc__


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A run with four checkpoints."""
    run = tmp_path_factory.mktemp("history") / "run"
    for iteration in (3, 10, 20, 30):
        save_run(run, tiny(), iteration, iteration, seconds=60.0 * iteration)
    return run


def test_checkpoints_of_a_run_are_a_ladder(history, tmp_path, capsys):
    config = Config((LOWEST, f"{history}@all:0", f"{history}@10"), games=4, out=tmp_path, checkpoints=3)
    record = match(config)
    names = [LOWEST, *(f"{history}@{number}:0" for number in (3, 20, 30)), f"{history}@10:4"]
    assert list(record["players"]) == [rating["player"] for rating in record["ratings"]] == names
    about = record["players"][names[2]]
    assert (about["run"], about["iteration"], about["seconds"], about["simulations"]) == (
        str(history),
        20,
        1200.0,
        0,
    )
    assert len({player["weights"] for player in record["players"].values()}) == 5
    assert len(record["results"]) == 10
    agent = jzero.load(history, checkpoint=20)
    expected = play_match(
        agent.env,
        lowest(agent.env),
        agent_player(agent, 0),
        num_games=4,
        key=jax.random.key(0),
        opening_plies=(0, 2),
    )
    found = next(r for r in record["results"] if r["opponent"] == names[2])
    assert [found["wins"], found["draws"], found["losses"]] == [
        expected.wins,
        expected.draws,
        expected.losses,
    ]
    assert [game["actions"] for game in found["sample_games"]] == expected.histories[:2]
    page = (tmp_path / "match.html").read_text()
    for words in ("Elo over training time", "Cross table", "run, 0 simulations", "20 min", "Games</h2>"):
        assert words in page
    assert "[10/10] " in capsys.readouterr().out


def test_many_checkpoints_meet_their_neighbours(history, tmp_path):
    record = match(Config((f"{history}@all:0",), games=2, out=tmp_path, pairs="neighbours"))
    met = [(r["player"].rpartition("@")[2], r["opponent"].rpartition("@")[2]) for r in record["results"]]
    assert met == [("3:0", "10:0"), ("3:0", "20:0"), ("10:0", "20:0"), ("10:0", "30:0"), ("20:0", "30:0")]
    assert len(record["ratings"]) == 4


def test_at_most_so_many_checkpoints_are_spread_over_the_time():
    assert spread({i: float(i) for i in range(100)}, 4) == [0, 33, 66, 99]
    assert spread({1: 0.0, 2: 0.1, 3: 0.2, 4: 10.0, 5: 20.0}, 3) == [1, 4, 5]
    assert spread({1: 0.0, 2: 0.1, 3: 0.2, 4: 20.0}, 3) == [1, 3, 4]
    assert spread({1: 5.0, 2: 6.0}, 1) == [2]
    assert spread({1: 5.0, 2: 6.0}, 9) == [1, 2]


def test_a_file_of_an_earlier_version_goes_on(tmp_path, capsys):
    players = {LOWEST: {"words": "lowest", "weights": None}, "random": {"words": "random", "weights": None}}
    numbers = {"games": 4, "asked": 4, "opening_plies": [0, 2], "seed": 0, "seconds": 1.0}
    score = {"value": 0.5, "low": 0.2, "high": 0.8, "wins": 2, "draws": 0, "losses": 2}
    result = {
        "player": "random",
        "opponent": LOWEST,
        **numbers,
        **score,
        "first": [1, 0, 1],
        "second": [1, 0, 1],
    }
    old = {"env": "tic_tac_toe", "contest": "pairs", "players": players, "results": [result], "ratings": []}
    (tmp_path / "match.json").write_text(json.dumps(old))
    options = ["--games", "4", "--env", "tic_tac_toe", "--out", str(tmp_path)]
    assert main(["random", LOWEST, f"{HERE}:highest", *options]) == 0
    assert capsys.readouterr().out.count("(on file)") == 1
    record = json.loads((tmp_path / "match.json").read_text())
    assert record["results"][0] == result
    assert len(record["results"]) == 3


def test_the_file_goes_to_the_first_run_and_the_runs_say_what_is_played(tmp_path, capsys):
    run = save_run(tmp_path / "a", tiny())
    assert main(["random", str(run), "--games", "2", "--simulations", "0", "--opening-plies", "1", "3"]) == 0
    record = json.loads((run / "match.json").read_text())
    assert list(record["players"]) == ["random", f"{run}:0"]
    assert record["results"][0]["opening_plies"] == [1, 3]
    assert "the policy without search" in (run / "match.html").read_text()
    assert record["players"]["random"]["weights"] is None
    assert f"wrote {run / 'match.json'}" in capsys.readouterr().out


def test_an_interrupt_loses_no_result_and_the_same_command_goes_on(runs, tmp_path, capsys, monkeypatch):
    players, options = [f"{runs / 'a'}:0", "random", LOWEST], ["--games", "4"]
    assert main([*players, *options, "--out", str(tmp_path / "whole")]) == 0
    play, played = match_lib.play_encounter, []

    def interrupted(*args, **settings):
        played.append(args)
        if len(played) == 2:
            raise KeyboardInterrupt
        return play(*args, **settings)

    monkeypatch.setattr(match_lib, "play_encounter", interrupted)
    command = [*players, *options, "--out", str(tmp_path)]
    assert main(command) == 130
    assert "the same command continues" in capsys.readouterr().err
    half = json.loads((tmp_path / "match.json").read_text())
    assert (len(half["results"]), half["ratings"]) == (1, [])
    assert (tmp_path / "match.html").exists()
    assert main(command) == 0
    assert len(played) == 4  # the one that was interrupted and the third
    assert capsys.readouterr().out.count("(on file)") == 1
    whole, resumed = (
        json.loads((folder / "match.json").read_text()) for folder in (tmp_path / "whole", tmp_path)
    )
    assert without_seconds(whole) == without_seconds(resumed)
    assert main(command) == 0
    assert len(played) == 4


def test_other_settings_and_players_add_to_the_file(tmp_path):
    config = {"env": "tic_tac_toe", "games": 2, "out": tmp_path}
    match(Config(("random", f"{HERE}:highest"), **config))
    match(Config(("random", f"{HERE}:highest"), **config | {"seed": 1}))
    record = match(Config(("random", LOWEST), **config))
    assert [(r["opponent"], r["seed"]) for r in record["results"]] == [
        (f"{HERE}:highest", 0),
        (f"{HERE}:highest", 1),
        (LOWEST, 0),
    ]
    assert [rating["player"] for rating in record["ratings"]] == ["random", LOWEST]


def test_results_of_former_weights_are_dropped(tmp_path, capsys):
    save_run(tmp_path / "a", tiny(), seed=0, iteration=1)
    config = Config((f"{tmp_path / 'a'}:0", "random", LOWEST), games=2)
    before = match(config)
    save_run(tmp_path / "a", tiny(), seed=1, iteration=2)
    after = match(config)
    assert "has changed weights since" in (said := capsys.readouterr().out)
    assert said.count("(on file)") == 1  # random against the lowest
    name = f"{tmp_path / 'a'}:0"
    assert before["players"][name]["weights"] != after["players"][name]["weights"]
    assert len(after["results"]) == 3


def test_at_tables_of_three_each_is_alone_once(tmp_path, capsys):
    record = match(Config(("random", LOWEST), env=BLOB, games=9, out=tmp_path))
    assert (record["contest"], record["ratings"]) == ("tables", [])
    one, other = record["results"]
    assert (one["player"], one["opponent"]) == (other["opponent"], other["player"])
    assert one["games"] == 9
    assert one["opening_plies"] is None
    assert one["value"] == pytest.approx(one["own"] - one["others"])
    assert "above the others in 9 games" in capsys.readouterr().out
    assert "above the others" in (tmp_path / "match.html").read_text()


def test_one_player_plays_the_same_episodes_as_the_others(tmp_path, capsys):
    record = match(Config((f"{HERE}:still", "random"), env=WALK, games=60, out=tmp_path))
    best, random = record["results"]
    assert record["contest"] == "returns"
    assert (best["opponent"], best["cut"], best["games"]) == (None, 0, 60)
    assert best["value"] / 2 == pytest.approx(random["value"], rel=0.3)
    assert "random: mean return of 60 episodes" in capsys.readouterr().out
    alone = match(Config((f"{HERE}:still",), env=WALK, games=60, out=tmp_path / "alone"))
    assert alone["results"][0]["value"] == best["value"]


@pytest.mark.parametrize(
    ("players", "options", "message"),
    [
        ([], [], "no player is given; give runs or opponents: random, rollouts"),
        (["random"], [], "--env is missing, and no player is a run"),
        (["random"], ["--env", "tic_tac_toe"], "random is the only player, but tic_tac_toe needs two"),
        (["random", "rolouts"], [], "player 'rolouts': there is no such run, and unknown opponent 'rolouts': did"),
        (["random", "{runs}"], [], "holds no run (no config.json)"),
        (["{runs}/a", "{runs}/other"], [], "plays 'blob?players=3&cards=1', but player '{runs}/a' plays 'tic_tac"),
        (["{runs}/a", "random"], ["--env", "connect_four"], "--env is 'connect_four', but player '{runs}/a' plays"),
        (["{runs}/a", "{runs}/a:4"], [], "player '{runs}/a:4': {runs}/a:4 is given twice; give it once"),
        (["{runs}/a", "{runs}/a@1:4"], [], "player '{runs}/a@1:4': {runs}/a@1:4 is given twice; give it once"),
        (["{runs}/a@7", "random"], [], "holds no checkpoint of iteration 7; there are 1"),
        (["{runs}/a@new", "random"], [], "'new' is not a checkpoint; give an iteration as in {runs}/a@120"),
        (["{runs}/a@all"], [], "{runs}/a@all is the only player, but tic_tac_toe needs two"),
        (["{runs}/a", "random"], ["--checkpoints", "0"], "--checkpoints is 0; expected at least 1"),
        (["{runs}/a", "gtp:gnugo --mode gtp"], [], "opponent gtp: it plays go, pgx:go_9x9 and pgx:go_19x19, not"),
        (["{runs}/a", "bitbully"], [], "opponent bitbully: it plays connect_four, not tic_tac_toe"),
        (["{runs}/a", "random"], ["--games", "3"], "--games is 3; expected an even number, since each opening"),
        (["{runs}/a", "random"], ["--games", "0"], "--games is 0; expected at least 1"),
        (["{runs}/a", "random"], ["--simulations", "-1"], "--simulations is -1; expected 0 for the policy"),
        (["{runs}/a", "random"], ["--seed", "-1"], "--seed is -1; expected at least 0"),
        (["{runs}/a", "random"], ["--opening-plies", "3", "1"], "--opening-plies is 3 1; expected the smallest"),
        (["{runs}/other", "random"], ["--opening-plies", "0", "1"], "--opening-plies: blob?players=3&cards=1 is"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(runs, tmp_path, capsys, players, options, message):
    players = [player.format(runs=runs) for player in players]
    assert main([*players, *options, "--out", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message.replace("{runs}", str(runs)) in line
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_game_or_of_something_else_is_left_alone(tmp_path):
    match(Config(("random", LOWEST), env="tic_tac_toe", games=2, out=tmp_path))
    before = (tmp_path / "match.json").read_text()
    with pytest.raises(
        ValueError, match=r"holds pairs in 'tic_tac_toe', and this match is returns in .*--out"
    ):
        match(Config(("random",), env=WALK, games=2, out=tmp_path))
    assert (tmp_path / "match.json").read_text() == before
    for text in ('{"random": {"wins": 3}}', "[]", "{"):
        (tmp_path / "match.json").write_text(text)
        with pytest.raises(
            ValueError, match="is not a record of matches: move it away, or give another folder"
        ):
            match(Config(("random", LOWEST), env="tic_tac_toe", games=2, out=tmp_path))


def test_programs_end_with_the_match(tmp_path, monkeypatch):
    closed = []

    def opened(env, env_name, name, *, seed):
        return open_opponent(env, env_name, name, seed=seed)._replace(close=lambda: closed.append(name))

    monkeypatch.setattr("jzero.run.entrants.open_opponent", opened)
    match(Config(("random", LOWEST), env="tic_tac_toe", games=2, out=tmp_path))
    assert sorted(closed) == ["random", LOWEST]


TRAIN = """if True:
    import sys
    from jzero.evaluate.measures import Strength
    from jzero.run.config import RunConfig
    from jzero.run.cli import main
    from tests.helpers.tiny import TINY

    default = RunConfig(iterations=2, evaluate_every=1e9, cpu_devices=1, train=TINY)
    main("tiny", default, lambda env: lambda agent: Strength("nothing", 0.5, 0.25, 0.75), argv=sys.argv[1:])
"""


@pytest.mark.slow
def test_trained_runs_and_an_engine_from_another_folder(tmp_path, cache):
    pytest.importorskip("pyspiel")
    (tmp_path / "mine.py").write_text(f"from {HERE} import lowest\n")

    def python(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=child_environment(cache),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    for seed in (0, 1):
        python("-c", TRAIN, "--run-dir", f"run{seed}", "--seed", str(seed))
    players = ["run0", "run1:8", "open_spiel_mcts:10", "mine:lowest"]
    said = python("-m", "jzero", "match", *players, "--games", "4")
    record = json.loads((tmp_path / "run0" / "match.json").read_text())
    names = ["run0:4", "run1:8", "open_spiel_mcts:10", "mine:lowest"]
    assert list(record["players"]) == names
    assert len(record["results"]) == 6
    assert all(sum(result["first"]) + sum(result["second"]) == 4 for result in record["results"])
    assert np.isfinite([rating["elo"] for rating in record["ratings"]]).all()
    assert said.count("lost of 4; score") == 6
    assert (tmp_path / "run0" / "match.html").read_text().count(
        "<table>"
    ) == 4  # ratings, everyone against everyone, results, players
    assert str(REPOSITORY) not in said
