"""The report: what it says, what it draws, and that it needs nothing but itself."""

import fcntl
import html
import json
import math
import re
import shutil
import subprocess
import time
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.record import record_games
from jzero.models.plan import SearchSettings
from jzero.run.build import build_agent, build_algorithm
from jzero.run.report import main as report_command
from jzero.show import games as games_module
from jzero.show import write_report
from jzero.show.boards import Album, Position, data_url, drawn, replay
from jzero.show.curves import speeds_line
from jzero.show.frames import frame, written
from jzero.show.games import games_section, outcome_text, plies
from jzero.show.plots import POINTS, interval_series, key, line_chart, series
from jzero.show.report import RELOAD, REPORT
from jzero.show.words import duration, short_number, whole_number
from jzero.storage.run_dir import LOCK
from tests.helpers.env_examples import Aim
from tests.helpers.tiny import tiny
from tests.play.conftest import newcomer

VOID = {"meta", "input", "br", "img", "link", "hr"}
# Crosses take the middle row.
GAME = {
    "title": "Against itself",
    "actions": [4, 0, 3, 1, 5],
    "values": [0.25, -0.5, 0.75, None, 1.0],
    "outcome": [1.0, -1.0],
}


class Page(HTMLParser):
    """Fails on tags that do not match; keeps attributes and the text of each kind of tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open[-1:]:
            self.texts.setdefault(tag, []).append(data)

    def all(self, tag, css_class=None):
        found = [attributes for name, attributes in self.attributes if name == tag]
        return [a for a in found if css_class is None or css_class in a.get("class", "").split()]


class Wrapped:
    """Tic-tac-toe with something changed."""

    num_actions, num_players = 9, 2

    def __init__(self):
        self.game = TicTacToe()
        self.init, self.step, self.observe = self.game.init, self.game.step, self.game.observe


class Random(Wrapped):
    """Every other stone lands on a random cell."""

    def __init__(self):
        super().__init__()
        self.step = lambda state, action, key: self.game.step(
            state, jax.random.categorical(key, jnp.where(state.legal_action_mask, 0.0, -1e9)), key
        )
        self.svg = self.game.svg


class Ornate(Wrapped):
    """Pictures of 50 kB."""

    def svg(self, state):
        return self.game.svg(state).replace("</svg>", f"<desc>{'x' * 50_000}</desc></svg>")


class WalkState(NamedTuple):
    """A place from 0 to 3."""

    place: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array = np.bool_(False)
    current_player: jax.Array = np.int32(0)
    legal_action_mask: jax.Array = np.ones(2, bool)


class Walk:
    """One player walks to the right for a point a step, or waits; it draws nothing."""

    num_actions, num_players = 2, 1

    def __init__(self, numbers=False):
        self.numbers = numbers

    def init(self, key):
        return WalkState(jnp.int32(0), jnp.zeros(1), jnp.bool_(False))

    def step(self, state, action, key):
        place = state.place + action
        return WalkState(place, jnp.float32(action)[None], place == 3)

    def observe(self, state):
        if self.numbers:
            return {"place": state.place}
        return (jnp.arange(4) == state.place).astype(jnp.uint8)[None, :, None]


WALK = {"title": "Game 1", "actions": [1, 0, 1, 1], "values": [3, 2, 2, 1], "outcome": [3.0]}


def metrics_line(iteration, **more):
    return {"iteration": iteration, "seconds": 6.0 * (iteration + 1), "loss": 2.0 / (iteration + 1), **more}


def make_run(folder, *, metrics=(), **files):
    folder.mkdir(parents=True, exist_ok=True)
    if metrics:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def report_of(run, env=None):
    return write_report(run, env).read_text(encoding="utf-8")


def pictures(page_text):
    """The pictures by CSS class."""
    urls = re.findall(
        r'\.(b\d+)\{background-image:url\("data:image/svg\+xml;charset=utf-8,([^"]*)"\)\}', page_text
    )
    return {name: urllib.parse.unquote(url) for name, url in urls}


def positions(env, actions):
    states = [env.init(jax.random.key(0))]
    for action in actions:
        states.append(env.step(states[-1], jnp.int32(action), jax.random.key(0)))
    return states


@pytest.fixture
def full_run(tmp_path):
    metrics = [
        metrics_line(
            i,
            positions=1000 * (i + 1),
            evaluations=32_000 * (i + 1),
            positions_per_second=500.0,
            evaluations_per_second=16_000.0,
            **({"updates_per_second": 35.0, "reanalysed_per_second": 7000.0} if i else {}),
            policy_loss=1.5 / (i + 1),
            search_depth=4.0 + i,
            search_entropy=None if i % 2 else 1.0,
            **(
                {"strength": 10.0 * i, "strength_low": 10.0 * i - 5, "strength_high": 10.0 * i + 5}
                if i % 5 == 0
                else {}
            ),
        )
        for i in range(20)
    ]
    strength = {
        "name": "Elo against random play",
        "value": 812.4,
        "low": 751.2,
        "high": 880.9,
        "unit": "Elo",
        "games": 400,
    }
    return make_run(
        tmp_path / "tic_tac_toe" / "20260101-000000",
        metrics=metrics,
        games={"env": "tic_tac_toe", "games": [GAME]},
        config={
            "experiment": "tic_tac_toe",
            "config": {
                "seed": 0,
                "net": {"blocks": [64, 64]},
                "train": {"algorithm": "gumbel_muzero", "env": "gymnax:CartPole-v1"},
            },
            "versions": {"jax": "9.8.7"},
        },
        result={"strength": strength, "seconds": 605.2, "positions": 20_000},
    )


def test_it_is_whole_html_that_needs_no_network(full_run):
    text = report_of(full_run, TicTacToe())
    page = Page(text)
    for tag, attributes in page.attributes:
        assert tag not in ("link", "img", "iframe", "object", "embed")
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(name, "#").startswith("#")
    assert all(url.startswith(('"data:image/svg+xml', "#")) for url in re.findall(r"url\(([^)]*)\)", text))
    assert set(re.findall(r"https?://[^\s\"'<>)]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text


def test_its_headline_says_how_strong_how_sure_and_under_what_settings(full_run):
    text = report_of(full_run)
    assert "Elo against random play" in text
    assert '<p class="big">812 <small>Elo</small></p><p>95 % interval 751 to 881</p>' in text
    assert "games 400" in text
    assert "<p>gumbel_muzero in gymnax:CartPole-v1. Finished after 10 min 5 s.</p>" in text
    assert "<dt>Positions</dt><dd>20k</dd>" in text
    assert "<dt>Positions / s</dt><dd>500</dd>" in text
    assert "<dt>Updates / s</dt><dd>35</dd>" in text
    assert "<dt>Reanalysed / s</dt><dd>7k</dd>" in text


def test_the_parts_of_a_strength_are_a_table(full_run):
    found = [
        ("first <set>", "all", 0.9, 0.88, 0.92),
        ("first <set>", "plies 0 to 7", 0.75, 0.5, None),
        ("second", "all", 0.125, 0.1, 0.15),
    ]
    parts = [dict(zip(("kind", "group", "value", "low", "high"), part, strict=True)) for part in found]
    result = json.loads((full_run / "result.json").read_text())
    result["strength"] |= {"name": "moves", "value": 0.9, "parts": parts}
    (full_run / "result.json").write_text(json.dumps(result))
    text = report_of(full_run)
    assert "<tr><th></th><th>all</th><th>plies 0 to 7</th></tr></thead>" in text
    assert "<tr><th>first &lt;set&gt;</th><td>0.9<br><small>0.88 to 0.92</small></td><td>0.75<br>" in text
    assert "<tr><th>second</th><td>0.125<br><small>0.1 to 0.15</small></td><td></td></tr>" in text
    assert "Strength by part" not in report_of(make_run(full_run.parent / "other"))


def test_the_speeds_in_words_are_medians_of_the_lines_that_have_them():
    metrics = [
        {"positions_per_second": 10, "self_play_share": 1},
        {"positions_per_second": 1200, "updates_per_second": 30, "self_play_share": 0.25},
        {"positions_per_second": 1300, "updates_per_second": 50, "self_play_share": 0.2},
    ]
    said = "median speeds: 1.2k positions/s, 40 updates/s, 22% of the time is self-play, 78% learning"
    assert speeds_line(metrics) == said
    assert speeds_line(metrics[:1]).endswith("100% of the time is self-play, 0% learning")
    assert speeds_line([]) == speeds_line([{"positions": 3}]) == ""


def test_before_the_end_it_says_the_latest_strength(full_run):
    (full_run / "result.json").unlink()
    text = report_of(full_run)
    assert "Strength so far" in text
    assert '<p class="big">150 <small></small></p><p>95 % interval 145 to 155</p>' in text
    assert "Not finished; this is the state after 2 min." in text


def test_the_page_loads_itself_anew_until_the_final_measurement(full_run):
    reloads = f'<p data-reload="{RELOAD}">'
    assert reloads not in report_of(full_run)
    (full_run / "result.json").unlink()
    assert reloads in report_of(full_run)
    text = write_report(full_run, stopped=True).read_text()
    assert reloads not in text
    assert "Stopped after 2 min. The end of the page says how to go on." in text


def test_the_command_knows_whether_a_process_trains_there(full_run):
    (full_run / "result.json").unlink()

    def says_stopped():
        assert report_command([str(full_run)]) == 0
        return "Stopped after" in (full_run / REPORT).read_text()

    assert says_stopped()
    with open(full_run / LOCK, "w") as lock:
        assert says_stopped()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not says_stopped()
    assert says_stopped()


def test_a_run_without_an_update_says_so_in_large_letters(full_run):
    large = '<p class="big">NOTHING WAS LEARNED</p>'
    assert large not in write_report(full_run).read_text()
    (full_run / "result.json").unlink()
    line = {"iteration": 1, "seconds": 2.0, "updates": 0, "strength": 0.9}
    (full_run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert large in write_report(full_run).read_text()
    strength = {"name": "not measured: no time", "value": None, "low": None, "high": None, "unit": ""}
    result = {"seconds": 3.0, "updates": 0, "strength": strength}
    (full_run / "result.json").write_text(json.dumps(result))
    (full_run / "metrics.jsonl").write_text(json.dumps(line | {"strength": None}) + "\n")
    text = write_report(full_run).read_text()
    assert large in text
    assert "not measured: no time" in text


def test_a_result_from_before_the_run_was_resumed_is_not_shown(full_run):
    with open(full_run / "metrics.jsonl", "a") as file:
        file.write(json.dumps(metrics_line(20, strength=900.0) | {"seconds": 606.0}) + "\n")
    text = report_of(full_run)
    assert "Not finished; this is the state after 10 min 6 s." in text
    assert '<p class="big">900 ' in text


def test_it_lists_configuration_versions_and_how_to_go_on(full_run):
    text = report_of(full_run)
    assert "<tr><th>net.blocks</th><td>64, 64</td></tr>" in text
    assert "<tr><th>jax</th><td>9.8.7</td></tr>" in text
    assert f"python experiments/tic_tac_toe.py --run-dir {full_run} --resume</pre>" in text
    assert html.escape(f'agent = jzero.load("{full_run}")') in text


@pytest.mark.parametrize(
    ("changes", "env", "playable"),
    [
        ({}, None, True),
        ({"handed_in": ["optimizer"]}, None, True),
        ({"handed_in": ["network"]}, None, False),
        ({}, SimpleNamespace(action_size=2), False),
    ],
)
def test_it_says_how_to_play_where_that_is_possible(tmp_path, changes, env, playable):
    run = make_run(tmp_path / "a run", config={"config": changes})
    assert (f"<pre>python -m jzero play &#x27;{run}&#x27;</pre>" in report_of(run, env)) == playable


def test_the_path_is_that_which_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(make_run(tmp_path / "runs").parent)
    assert "<pre>python -m jzero play runs</pre>" in report_of(Path("runs"))


def test_only_a_long_table_is_folded(full_run):
    config = json.loads((full_run / "config.json").read_text())
    config["config"] |= {f"option_{i}": i for i in range(20)}
    (full_run / "config.json").write_text(json.dumps(config))
    text = report_of(full_run)
    assert '<details class="card"><summary>Configuration</summary>' in text
    assert '<details class="card" open><summary>Versions</summary>' in text


def test_it_can_be_written_elsewhere(full_run, tmp_path):
    path = write_report(full_run, folder=tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_bytes() == write_report(full_run).read_bytes()


def test_to_train_further_needs_more_minutes_than_the_run_had(full_run):
    config = json.loads((full_run / "config.json").read_text())
    config["config"]["minutes"] = 7.5
    (full_run / "config.json").write_text(json.dumps(config))
    assert f"--run-dir {full_run} --resume --minutes 15</pre>" in report_of(full_run)


def test_it_has_a_chart_for_every_metric(full_run):
    page = Page(report_of(full_run))
    assert len(page.all("figure")) == 1 + 1 + 4 + 2  # strength, losses, speeds, search depth and entropy
    for name in (
        "Strength",
        "Losses",
        "Positions per second",
        "Evaluations per second",
        "Updates per second",
        "Reanalysed per second",
        "Search depth",
        "Search entropy",
    ):
        assert name in page.texts["b"]
    assert "Search" in page.texts["h3"]
    assert any(text.startswith("Policy loss 0.075") for text in page.texts["span"])


def test_every_board_of_a_game_is_there_once_with_its_value(full_run):
    env = TicTacToe()
    text = report_of(full_run, env)
    page = Page(text)
    drawings = [env.svg(state).strip() for state in positions(env, GAME["actions"])]
    shown = pictures(text)
    assert sorted(shown.values()) == sorted(drawing.replace('"', "'") for drawing in drawings)
    strip = page.all("li")
    boards = [attributes["class"].split()[1] for attributes in page.all("i", "board")][
        1:
    ]  # without the player's
    assert [shown[name] for name in boards] == [drawing.replace('"', "'") for drawing in drawings]
    assert [item["title"] for item in strip] == [
        "Ply 0: player 1 to move, value +0.25, plays b2",
        "Ply 1: player 2 to move, value -0.50, plays a3",
        "Ply 2: player 1 to move, value +0.75, plays a2",
        "Ply 3: player 2 to move, plays b3",
        "Ply 4: player 1 to move, value +1.00, plays c2",
        "The end: player 1 wins",
    ]
    # Player 1's share of the value bar: its own value as it is, the opponent's turned round.
    assert [float(item["data-share"]) for item in strip] == [62.5, 75.0, 87.5, 50.0, 100.0, 100.0]


def thought(best, value):
    bars = [{"action": a, "name": f"<{a}>", "prior": 0.1 * a, "visits": 9 - a, "q": None} for a in range(9)]
    return {
        "simulations": 45,
        "action": best,
        "value": [value, -value],
        "actions": bars,
        "line": ["<4>", "<0>"],
    }


def test_what_searches_found_is_in_the_page_for_its_script(tmp_path):
    thoughts = [thought(4, 0.5), thought(0, -0.25), thought(3, 0.0), thought(1, 0.0), thought(5, 1.0)]
    games = [{**GAME, "thoughts": thoughts}, GAME, {**GAME, "thoughts": thoughts[1:]}]
    text = report_of(make_run(tmp_path, games={"env": "x", "games": games}), TicTacToe())
    page = Page(text)
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data) == thoughts
    assert "<" not in data
    assert len(page.all("div", "thoughts")) == 1
    # Values from -1 to 1 are places from 94 down to 6.
    (curve,) = re.findall(r'<path class="found" d="M([^"]*)"', text)
    points = [tuple(map(float, point.split())) for point in curve.split("L")]
    assert points == [(0, 28), (20, 61), (40, 50), (60, 50), (80, 6)]
    assert [item["data-action"] for item in page.all("li")[:6]] == ["4", "0", "3", "1", "5", ""]


def test_a_recorded_game_has_what_its_searches_found(monkeypatch):
    def named_by_ply(self, state, action):
        return f"{np.count_nonzero(state.board)}:{action}"

    monkeypatch.setattr(TicTacToe, "action_name", named_by_ply)
    agent = newcomer("tic_tac_toe")
    games = record_games(agent, num_games=2, key=jax.random.key(1), analysed=1)["games"]
    assert "thoughts" not in games[1]
    thoughts, actions = games[0]["thoughts"], games[0]["actions"]
    assert [thought["action"] for thought in thoughts][2:] == actions[2:]  # the opening is drawn
    state = agent.env.init(jax.random.key(0))
    for ply, (thought, action) in enumerate(zip(thoughts, actions, strict=True)):
        legal = np.flatnonzero(state.legal_action_mask).tolist()
        named = {bar["name"]: bar["action"] for bar in thought["actions"]}
        assert {agent.env.action_name(state, a): a for a in legal}.items() >= named.items()
        assert sum(bar["visits"] for bar in thought["actions"]) <= thought["simulations"] == 16
        assert [bar["visits"] for bar in thought["actions"]] == sorted(
            (bar["visits"] for bar in thought["actions"]), reverse=True
        )
        assert named[thought["line"][0]] == thought["action"]
        plies, cells = zip(*(map(int, name.split(":")) for name in thought["line"]), strict=True)
        assert list(plies) == list(range(ply, ply + len(plies)))
        assert len(set(cells)) == len(cells)  # a cell is taken once
        state = agent.env.step(state, action, jax.random.key(0))
    assert games[0]["outcome"] == [1.0, -1.0]
    assert next(bar["q"] for bar in thoughts[-1]["actions"] if bar["action"] == actions[-1]) == 1.0


def test_a_game_that_is_cut_short_has_no_outcome(tmp_path):
    record = record_games(newcomer("tic_tac_toe"), num_games=1, key=jax.random.key(1), max_plies=3)
    assert record["games"][0]["outcome"] is None
    text = report_of(make_run(tmp_path, games=record), TicTacToe())
    assert "cut short, 3 plies" in text
    assert Page(text).all("li")[-1]["title"] == "The end: cut short"


@pytest.mark.parametrize("numbers", [False, True])
def test_one_players_episode_is_its_observations_with_steps_and_return(tmp_path, numbers):
    env = Walk(numbers)
    text = report_of(make_run(tmp_path, games={"env": "walk", "games": [WALK]}), env)
    assert "return 3, 4 steps" in text
    strip = Page(text).all("li")
    assert [item["title"] for item in strip] == [
        "Step 0: return so far 0, value +3.00, plays 1",
        "Step 1: return so far 1, value +2.00, plays 0",
        "Step 2: return so far 1, value +2.00, plays 1",
        "Step 3: return so far 2, value +1.00, plays 1",
        "The end: return 3",
    ]
    seen = [env.observe(state) for state in positions(env, WALK["actions"])]
    drawings = [written(x) if numbers else frame(x) for x in seen]
    shown = pictures(text)
    boards = [attributes["class"].split()[1] for attributes in Page(text).all("i", "board")][1:]
    assert [shown[name] for name in boards] == [drawing.replace('"', "'") for drawing in drawings]


def test_an_episode_of_continuous_actions_is_recorded_and_replayed(tmp_path):
    env = Aim(length=3)
    config = tiny(
        algorithm="gumbel_muzero",
        search=SearchSettings(num_simulations=4, sampled_actions=4, max_considered=4),
        muzero=MuZeroSettings(value_limit=20.0, reward_limit=10.0),
        opening_plies=0,
    )
    agent = build_agent(env, config, build_algorithm(env, config).init(jax.random.key(0)))
    record = record_games(agent, num_games=2, key=jax.random.key(0), analysed=1)
    game = json.loads(json.dumps(record))["games"][0]
    assert [len(action) for action in game["actions"]] == [2, 2, 2]
    found, problem = drawn(env, game)
    assert problem == ""
    assert found[-1].earned == pytest.approx(game["outcome"][0], abs=1e-6)
    chosen = [next(b for b in t["actions"] if b["action"] == t["action"]) for t in game["thoughts"]]
    moves = ["({:.2f}, {:.2f})".format(*action) for action in game["actions"]]
    assert [position.move for position in found] == [*moves, None]
    assert [bar["name"] for bar in chosen] == moves
    text = report_of(make_run(tmp_path, games={"env": "aim", "games": [game]}), env)
    strip = Page(text).all("li")
    assert [item["title"].split("plays ")[-1] for item in strip[:3]] == moves
    assert [item["data-action"] for item in strip] == [*(str(t["action"]) for t in game["thoughts"]), ""]
    assert drawn(env, game | {"actions": [[0.5]]})[1].startswith(
        "ValueError: action (0.5,) of ply 0 is illegal"
    )
    unknown = report_of(make_run(tmp_path / "unknown", games={"env": "no_such_game", "games": [game]}))
    assert all(f"plays {move}" in unknown for move in moves)


def test_positions_that_games_share_are_kept_once(tmp_path):
    env = TicTacToe()
    other = {**GAME, "title": "Again", "actions": [4, 0, 3, 2, 5]}
    text = report_of(make_run(tmp_path, games={"env": "x", "games": [GAME, other]}), env)
    assert len(pictures(text)) == 6 + 2
    assert len(Page(text).all("li")) == 12


def test_without_the_environment_the_moves_are_shown(tmp_path):
    text = report_of(make_run(tmp_path, games={"env": "no_such_game", "games": [GAME]}))
    assert pictures(text) == {}
    assert [item["title"] for item in Page(text).all("li")] == [
        "Ply 0: value +0.25, plays 4",
        "Ply 1: value -0.50, plays 0",
        "Ply 2: value +0.75, plays 3",
        "Ply 3: plays 1",
        "Ply 4: value +1.00, plays 5",
    ]
    assert "player 1 wins, 5 plies" in text


@pytest.mark.parametrize(
    ("env", "actions", "reason"),
    [
        (TicTacToe(), [4, 4], "action 4 of ply 1 is illegal"),
        (TicTacToe(), [9], "action 9 of ply 0 is illegal"),
        (TicTacToe(), [-1], "action -1 of ply 0 is illegal"),
        (Random(), [4], "this environment has chance"),
        (Wrapped(), [4], "has no svg"),
        (None, [4], "not installed here"),
    ],
)
def test_games_that_cannot_be_drawn_say_why(env, actions, reason):
    found, problem = drawn(env, {"actions": actions})
    assert found == []
    assert reason in problem


def test_replay_gives_every_position_and_who_moves():
    env = TicTacToe()
    found = replay(env, GAME["actions"])
    assert [position.mover for position in found] == [0, 1, 0, 1, 0, None]
    assert [position.svg for position in found] == [
        env.svg(state) for state in positions(env, GAME["actions"])
    ]


@pytest.mark.slow
def test_a_seed_replays_a_game_of_chance():
    env = Blob(players=3, cards=1)
    config = tiny(env="blob?players=3&cards=1")
    agent = build_agent(env, config, build_algorithm(env, config).init(jax.random.key(0)))
    record = record_games(agent, num_games=2, key=jax.random.key(0))
    one, other = record["games"]
    assert one["seed"] != other["seed"]
    assert len(one["values"]) == len(one["actions"]) == 6
    for game in record["games"]:
        found = replay(env, game["actions"], game["seed"])
        assert found[-1].mover is None
        assert len({position.svg for position in found}) == 7
    assert drawn(env, one)[1] == ""
    without_seed = drawn(env, {"actions": one["actions"]})[1]
    assert "has chance" in without_seed or "is illegal" in without_seed


def test_values_are_turned_to_the_first_players_side():
    found = plies(GAME, [Position("", mover, None) for mover in (0, 1, 0, 1, 0, None)])
    assert [ply.first_value for ply in found] == [0.25, 0.5, 0.75, None, 1.0, 1.0]
    alone = plies(
        {"actions": [0, 1], "values": [3.0, 2.0], "outcome": [5.0]},
        [Position("", mover, None) for mover in (0, 0, None)],
    )
    assert [ply.first_value for ply in alone] == [None, None, None]
    assert [ply.value for ply in alone] == [3.0, 2.0, None]


def test_large_pictures_are_thinned_to_fit_and_the_rest_left_out(monkeypatch):
    monkeypatch.setattr(games_module, "BOARD_BYTES", 220_000)  # four pictures
    other = {**GAME, "actions": [0, 1, 2, 3, 4, 5, 6]}
    text, css = games_section({"games": [GAME, other]}, Ornate())
    assert [item["data-ply"] for item in Page(text).all("li")] == [
        "Ply 0 of 5",
        "Ply 2 of 5",
        "Ply 4 of 5",
        "The end",
    ]
    assert "2 of the positions between are left out" in text
    assert "1 more in games.json" in text
    assert len(css) < 220_000


def test_an_album_takes_all_of_a_game_or_nothing():
    album = Album(len(data_url("<svg/>")) * 2)
    assert album.add(["<svg/>", "<SVG/>", "<Svg/>"]) == {}
    assert album.css() == ""
    assert album.add(["<svg/>", "<SVG/>", "<svg/>"]) == {0: "b0", 1: "b1", 2: "b0"}


def test_pictures_cannot_break_out_of_the_style_sheet():
    svg = '<svg a="1" b=\'2\'>100% "\\" \n</style></svg>'
    url = data_url(svg)
    assert not set('<"\\\n#') & set(url)
    assert urllib.parse.unquote(url.partition(",")[2]) == svg


def test_names_and_titles_cannot_become_markup(tmp_path):
    evil = '<script>alert("1")</script>'
    run = make_run(
        tmp_path,
        metrics=[metrics_line(0, **{evil: 1.0, f"{evil}_loss": 2.0})],
        games={"env": evil, "games": [{**GAME, "title": evil}, {**GAME, "title": evil}]},
        config={"experiment": evil, "config": {evil: evil}, "versions": {evil: evil}},
        result={"strength": {"name": evil, "value": 1.0, "unit": evil, evil: evil}, evil: evil},
    )
    text = report_of(run, TicTacToe())
    assert len(Page(text).all("script")) == 1
    assert text.count("<script") == 1


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"metrics": [metrics_line(0)]},
        {"metrics": [metrics_line(0, loss=None, strength=None)]},
        {"metrics": [{"iteration": 0, "loss": 1.0}]},
        {"metrics": [{}]},
        {"metrics": [metrics_line(0, strength=1.0), metrics_line(1, strength=2.0, strength_low=None)]},
        {"metrics": [metrics_line(i, loss=math.nan, value_loss=math.inf) for i in range(3)]},
        {"metrics": [metrics_line(0, loss=1e-300), metrics_line(1, loss=1e300)]},
        {"metrics": [metrics_line(i, constant=0.0, text="x", flag=True, list=[1]) for i in range(3)]},
        {"games": {"env": "tic_tac_toe", "games": []}},
        {"games": {"env": None, "games": [{}, 3, {"actions": "abc"}, {"actions": []}]}},
        {"games": {"games": [{"actions": [4, 0]}]}},
        {"games": {"games": [{**GAME, "values": [math.nan] * 9, "outcome": [math.nan, 1.0]}]}},
        {"games": {"games": 3}},
        {"games": {"games": [{**GAME, "thoughts": found} for found in (3, [None] * 5, [{"value": []}] * 5)]}},
        {"result": {"strength": None}},
        {"result": {"strength": {"value": None}}},
        {"config": {"config": None, "versions": None}},
    ],
)
def test_it_is_written_with_whatever_is_there(tmp_path, files):
    Page(report_of(make_run(tmp_path, **files), TicTacToe()))


def test_half_written_and_broken_files_do_not_stop_it(tmp_path):
    run = make_run(tmp_path, metrics=[metrics_line(0, loss=0.5)])
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 1, "lo')
    for name in ("games", "config", "result"):
        (run / f"{name}.json").write_text('{"a": ')
    assert "Loss 0.5" in report_of(run)


def test_the_same_run_gives_the_same_bytes(full_run):
    first = write_report(full_run, TicTacToe()).read_bytes()
    assert write_report(full_run, TicTacToe()).read_bytes() == first


def test_a_long_run_is_written_in_a_moment_and_stays_small(tmp_path):
    noise = np.random.default_rng(0).normal(size=(10_000, 20))
    metrics = [metrics_line(i, **{f"m{k}_{k}": x for k, x in enumerate(row)}) for i, row in enumerate(noise)]
    run = make_run(tmp_path, metrics=metrics)
    begin = time.process_time()
    path = write_report(run)
    assert time.process_time() - begin < 4.0
    assert path.stat().st_size < 1_000_000


def test_series_leaves_out_what_is_not_finite():
    line = series([0, 1, 2, 3, None], [1.0, math.nan, None, 4.0, 5.0])
    np.testing.assert_array_equal(line.x, [0, 3])
    np.testing.assert_array_equal(line.y, [1, 4])
    assert series([0, 1], [None, math.inf]) is None
    assert series([], []) is None


def test_long_series_are_averaged_and_keep_their_extremes():
    y = np.zeros(10 * POINTS)
    y[777] = 10.0
    line = series(range(10 * POINTS), y.tolist())
    assert len(line.x) == POINTS
    np.testing.assert_allclose(line.x, np.arange(POINTS) * 10 + 4.5)
    np.testing.assert_allclose(line.y, np.where(np.arange(POINTS) == 77, 1.0, 0.0))
    assert line.high[77] == 10.0
    assert line.low[77] == 0.0


def test_intervals_keep_the_last_measurement():
    count = 3 * POINTS + 1
    line = interval_series(range(count), range(count), range(-1, count - 1), [None] * count)
    assert len(line.x) <= POINTS
    assert line.x[-1] == count - 1
    np.testing.assert_array_equal(line.low, line.y)  # half an interval is none
    line = interval_series([0, 1], [5, None], [4, 4], [7, 7])
    assert [list(part) for part in line] == [[0], [5], [4], [7]]


def test_a_chart_maps_numbers_to_places_in_the_pages_colours():
    svg = line_chart(
        [series([0, 1, 2], [0.0, 10.0, 5.0]), series([0, 1, 2], [1.0, 1.0, 1.0])], x_label="minutes"
    )
    curves = {
        colour: [tuple(map(float, point)) for point in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path)]
        for path, colour in re.findall(
            r'<path d="([^"]*)"[^>]*stroke: var\((--s\d)\); stroke-width: 1.7', svg
        )
    }
    (x0, y0), (x1, y1), (x2, y2) = curves["--s1"]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02)
    assert (y0 - y2) / (y0 - y1) == pytest.approx(0.5, abs=0.01)
    level = y0 + 0.1 * (y1 - y0)
    assert [y for _, y in curves["--s2"]] == pytest.approx([level] * len(curves["--s2"]), abs=0.02)
    assert "#0000" not in svg
    assert "minutes</text>" in svg


def test_lines_beyond_the_colours_are_dashed_and_a_missing_one_keeps_its_place():
    lines = [series([0, 1], [place, place]) for place in range(8)]
    lines[1] = None
    drawn = re.findall(
        r'<path d="[^"]*"[^>]*style="fill: none; ([^"]*)stroke: var\((--s\d)\); stroke-width: 1.7',
        line_chart(lines, x_label="minutes"),
    )
    assert [colour for _, colour in drawn] == ["--s1", "--s3", "--s4", "--s5", "--s6", "--s1", "--s2"]
    assert ["dash" in style for style, _ in drawn] == [False] * 5 + [True] * 2
    assert key(5, "<6>") == '<span><i style="border-top:3px solid var(--s6)"></i>&lt;6&gt;</span>'
    assert "dashed var(--s1)" in key(6, "")
    assert "dotted var(--s2)" in key(13, "")


def test_numbers_read_well():
    values = (0, 0.01234, 412.3, 999.6, 999.4, 1234, 999_999, 3_000_000, -45_600, 1e13)
    assert [short_number(value) for value in values] == [
        *("0", "0.0123", "412", "1k", "999", "1.23k", "1M", "3M", "-45.6k", "10T")
    ]
    assert [whole_number(value) for value in (0.98765, 812.4, -1234.5)] == ["0.988", "812", "-1,234"]
    spans = (0.4, 48, 60, 545, 3600, 12_000, 187_200)
    assert [duration(seconds) for seconds in spans] == [
        *("0 s", "48 s", "1 min", "9 min 5 s", "1 h", "3 h 20 min", "2 d 4 h")
    ]


def test_outcomes_in_words():
    assert outcome_text([1.0, -1.0]) == "player 1 wins"
    assert outcome_text([-1.0, 1.0]) == "player 2 wins"
    assert outcome_text([0.0, 0.0]) == "draw"
    assert outcome_text([12.0]) == "return 12"
    assert outcome_text([1.0, 1.0, -2.0]) == "players 1 and 2 win"
    assert outcome_text([1.0, None]) == ""


@pytest.mark.slow
def test_a_browser_shows_it_and_plays_the_game(full_run):
    games = {"env": "tic_tac_toe", "games": [{**GAME, "thoughts": [thought(1, 0.5)] * 5}]}
    (full_run / "games.json").write_text(json.dumps(games))
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    report = write_report(full_run, TicTacToe())
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', cancelable: true}));"
    probe = (
        "<script>window.onerror = message => document.body.dataset.error = message;"
        f"addEventListener('load', () => {{ {press * 3} "
        "const style = getComputedStyle(document.querySelector('.player .board'));"
        "document.body.dataset.seen = document.querySelector('.ply').textContent + '|' + "
        "document.querySelector('.says').textContent + '|' + "
        "document.querySelector('.player .board').className + '|' + "
        "document.querySelectorAll('.jz-bars tbody tr').length + '|' + "
        "document.querySelector('.jz-played.jz-best b').textContent + '|' + "
        "document.querySelector('.jz-line-of-play').textContent + '|' + "
        "style.backgroundImage.slice(0, 23); });</script></head>"
    )
    report.write_text(report.read_text(encoding="utf-8").replace("</head>", probe, 1), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-sync",
    ]
    flags += [
        "--disable-component-update",
        f"--user-data-dir={full_run / 'browser'}",
        "--virtual-time-budget=2000",
    ]
    command = [browser, *flags, "--dump-dom", report.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "data-error" not in dom
    seen = html.unescape(re.search(r'data-seen="([^"]*)"', dom)[1]).split("|")
    assert seen == [
        "Ply 3 of 5",
        "player 2 to move, plays b3",
        "board b3",
        "9",
        "<1>",
        "<4><0>",
        'url("data:image/svg+xml',
    ]
