"""An analysis that is looked at: the same numbers as its arrays, and nothing that its mover may not see."""

import dataclasses
import html
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jzero
from jzero.env import step_batch
from jzero.show.analysis import NODES
from jzero.show.rules import Rules
from jzero.show.thoughts import Branches
from tests.play.conftest import newcomer
from tests.show.test_report import Page

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def agent():
    return newcomer("tic_tac_toe")


@pytest.fixture(scope="module")
def found(agent):
    """Two games of tic-tac-toe; X wins by 6 in the first."""
    states = jzero.init_batch(agent.env, KEY, 2)
    for actions in ([0, 4], [1, 0], [3, 8], [4, 2]):
        states = step_batch(agent.env, states, jnp.array(actions), KEY)
    return agent.analyse(states, KEY, num_simulations=60)


def test_branches_are_the_trees_edges(found):
    tree = found.tree
    index, visits = np.asarray(tree.children_index), np.asarray(tree.children_visits)
    priors = np.asarray(jax.nn.softmax(tree.children_prior_logits, axis=-1))
    for row in range(2):
        branches, seen = Branches(tree, row), 0
        for node in range(61):
            wanted = {int(a): int(visits[row, node, a]) for a in np.flatnonzero(visits[row, node])}
            got = branches.below(node)
            assert {child.action: child.visits for child in got} == wanted
            assert [child.visits for child in got] == sorted(wanted.values(), reverse=True)
            seen += len(got)
            qvalues = np.asarray(tree.qvalues(node))[row]
            for child in got:
                assert child.node == index[row, node, child.action]
                assert child.qvalue == qvalues[child.action]
                assert child.prior == pytest.approx(float(priors[row, node, child.action]), abs=1e-6)
        assert seen > 30


def test_what_is_shown_are_the_arrays_numbers_and_boards_of_the_line(found):
    text = found.show()._repr_html_()
    page = Page(text)
    assert len(page.all("section")) == 2
    bars = [re.findall(r"<span>([^<]*)</span></td>", row) for row in re.findall(r"<tr.*?</tr>", text)]
    shown = sorted(int(cells[1]) for cells in bars if cells)
    assert shown == sorted(np.asarray(found.visits)[np.asarray(found.states.legal_action_mask)].astype(int))
    rules, branches = Rules(found.env, found.name), Branches(found.tree, 0)
    state = jax.tree.map(lambda x: x[0], found.states)
    best = branches.below(0)[0]
    after = rules.after(state, best.action, 0, 1)
    assert html.escape(rules.board(after, None)["url"]) in text
    assert "script" not in text
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", html.unescape(text))
    assert len(page.all("details")) == sum(
        np.count_nonzero(found.tree.children_visits[row]) for row in range(2)
    )


def test_rows_can_be_chosen_and_there_are_no_others(found):
    assert len(Page(found.show([1])._repr_html_()).all("section")) == 1
    assert "Row 1" in repr(found.show([1]))
    assert "1 of 2 rows" in found.show([1])._repr_html_()
    with pytest.raises(ValueError, match="rows has 2; the analysis has the rows 0 to 1"):
        found.show([2])


def test_an_analysis_is_the_same_after_pickling(found):
    again = pickle.loads(pickle.dumps(found))
    assert again.show()._repr_html_() == found.show()._repr_html_()
    assert repr(again.show()) == repr(found.show())


def test_a_terminal_gets_boards_and_bars_as_text(found):
    text = repr(found.show())
    assert text.count("to move") == 2
    assert text.count("value ") == text.count("; line ") == 2
    assert "<" not in text.replace("  <", "")


def test_a_finished_game_has_a_board_alone(agent, found):
    states = step_batch(agent.env, found.states, jnp.array([6, 6]), KEY)
    assert bool(states.terminated[0])
    shown = agent.analyse(states, KEY, num_simulations=60).show([0])
    assert "the game is over" in repr(shown)
    assert "<table" not in shown._repr_html_()


class Odd:
    """Tic-tac-toe without a picture, whose moves have names that a page must not obey."""

    num_actions, num_players = 9, 2

    def __init__(self):
        game = jzero.make("tic_tac_toe")
        self.init, self.step, self.observe = game.init, game.step, game.observe

    def action_name(self, state, action):
        return f"<script>{action}</script>"


def test_names_are_escaped_and_a_game_without_a_picture_is_text(found):
    text = dataclasses.replace(found, env=Odd()).show()._repr_html_()
    Page(text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<img" not in text
    assert "<pre>" in text


class Emulated(Odd):
    """A game that goes on outside of its states, and so may not be stepped to look ahead."""

    external = True

    def __init__(self):
        super().__init__()
        self.step = lambda state, action, key: pytest.fail("the emulator is moved")


def test_an_emulator_is_not_moved_by_looking(found):
    shown = dataclasses.replace(found, env=Emulated()).show()
    assert "<details" not in shown._repr_html_()
    assert "value " in repr(shown)


def test_of_a_large_tree_the_most_visited_nodes_are_shown(found):
    branches = Branches(found.tree, 0)
    everything = branches.most_visited(NODES)
    for count in (0, 1, 7, 30):
        some = branches.most_visited(count)
        assert len(some) == count
        above = {child.node: node for node in {0, *everything} for child in branches.below(node)}
        assert all(above[node] in {0, *some} for node in some)


def test_hidden_cards_leave_what_is_shown_unchanged(found):
    pytest.importorskip("pgx")
    env = jzero.make("pgx:kuhn_poker")
    states = jzero.init_batch(env, jax.random.key(3), 2)
    numbers = {name: getattr(found, name)[:, :2] for name in ("policy", "visits", "qvalues", "prior")}
    texts = set()
    for seed in range(5):
        redrawn = jax.vmap(env.resample)(states, jax.random.split(jax.random.key(seed), 2))
        hidden = dataclasses.replace(
            found, **numbers, action=jnp.zeros(2, int), env=env, name="pgx:kuhn_poker", states=redrawn
        )
        texts.add(hidden.show()._repr_html_() + repr(hidden.show()))
    assert len(texts) == 1
    assert "<details" not in texts.pop()
