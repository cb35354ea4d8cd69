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
from jzero.show.branches import Branches, Searched
from jzero.show.rules import Rules
from jzero.show.thoughts import thought_of
from tests.play.conftest import coder, newcomer
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
    with pytest.raises(ValueError, match="rows has 2; expected rows from 0 to 1"):
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
    assert repr(shown).count("value ") == 2
    rules = Rules(Emulated(), found.name)
    state = jax.tree.map(lambda x: x[0], found.states)
    assert thought_of(rules, state, found, 0)["variation"] == []


def test_of_a_large_tree_the_most_visited_nodes_are_shown(found):
    branches = Branches(found.tree, 0)
    everything = branches.most_visited(NODES)
    for count in (0, 1, 7, 30):
        some = branches.most_visited(count)
        assert len(some) == count
        above = {child.node: node for node in {0, *everything} for child in branches.below(node)}
        assert all(above[node] in {0, *some} for node in some)


def test_hidden_cards_leave_what_is_shown_unchanged():
    pytest.importorskip("pgx")
    agent, texts = newcomer("pgx:kuhn_poker"), set()
    states = jzero.init_batch(agent.env, jax.random.key(3), 2)
    for seed in range(5):
        redrawn = jax.vmap(agent.env.resample)(states, jax.random.split(jax.random.key(seed), 2))
        shown = agent.analyse(redrawn, KEY, 16).show()
        texts.add(shown._repr_html_() + repr(shown))
    assert len(texts) == 1
    text = texts.pop()
    assert "Tree of 1 worlds" in text
    assert "<details" in text


def test_the_trees_of_worlds_are_one_tree():
    agent = newcomer("blob?players=3&cards=2")
    agent = agent.with_search(dataclasses.replace(agent.search, worlds=3))
    states = jzero.init_batch(agent.env, KEY, 2)
    for _ in range(3):  # the bids; the cards that follow are others in each world
        states = step_batch(agent.env, states, jnp.argmax(states.legal_action_mask, axis=1), KEY)
    found = agent.analyse(states, KEY, 40)
    assert found.tree.nodes.shape[0] == 6
    for row in range(2):
        searched, rules = Searched(found, row), Rules(found.env, found.name)
        singles = [Branches(found.tree, 3 * row + world) for world in range(3)]
        state = jax.tree.map(lambda x, row=row: x[row], states)
        checked = 0

        def compare(node, nodes, path, searched=searched, singles=singles, state=state, rules=rules):
            nonlocal checked
            visits = {}
            for world, one in nodes.items():
                for child in singles[world].below(one):
                    visits[child.action] = visits.get(child.action, 0) + child.visits
            children = searched.branches.below(node)
            assert {child.action: child.visits for child in children} == visits
            for child in children:
                line = (*path, child.action)
                states = searched.imagine(rules, state, line, 0)
                assert len(states) == len(line) + 1  # legal in the world that went there
                here = rules.picture(states[0], rules.mover(state))
                assert here == rules.picture(state, rules.mover(state))
                checked += 1
                if len(line) < 3:
                    deeper = {
                        world: below.node
                        for world, one in nodes.items()
                        for below in singles[world].below(one)
                        if below.action == child.action
                    }
                    compare(child.node, deeper, line)

        compare(0, dict.fromkeys(range(3), 0), ())
        assert checked > 20
        mean = np.asarray(found.visits[row])
        assert {c.action: c.visits for c in searched.branches.below(0)} == {
            int(action): round(3 * float(mean[action])) for action in np.flatnonzero(mean)
        }


def test_a_tree_unfolds_through_chance():
    agent = newcomer("2048?size=3")
    env, rules = agent.env, Rules(agent.env, "2048?size=3")
    states = jzero.init_batch(env, KEY, 1)
    found = agent.analyse(states, KEY, 60)
    searched, state = Searched(found, 0), jax.tree.map(lambda x: x[0], states)
    outcomes = 0
    for action in searched.branches.below(0):
        after = env.decide(state, jnp.int32(action.action))
        chances = np.exp(env.chance_logits(after))
        below = searched.branches.below(action.node)
        assert sum(child.visits for child in below) == action.visits
        assert sum(child.visits * child.qvalue for child in below) / action.visits == pytest.approx(
            action.qvalue, abs=1e-4
        )
        for child in below:
            outcome = child.action - env.num_actions
            assert child.prior == pytest.approx(chances[outcome], abs=2e-3)
            want = env.resolve(after, jnp.int32(outcome))
            line = searched.imagine(rules, state, (action.action, child.action), 0)
            assert rules.picture(line[1], None) == env.svg(after)
            assert rules.picture(line[2], None) == env.svg(want)
            cell = f"{'abc'[outcome // 2 % 3]}{3 - outcome // 6}"
            assert rules.name_of(after, child.action) == f"{2 + 2 * (outcome % 2)} on {cell}"
            outcomes += 1
    assert outcomes > 8
    line = searched.line([int(found.action[0])])
    assert line[0] == int(found.action[0])
    assert [rules.is_outcome(edge) for edge in line[:4]] == [False, True, False, True]
    text = found.show()._repr_html_()
    assert "jz-chance" in text
    assert html.escape(rules.board(searched.imagine(rules, state, line[:2], 0)[2], None)["url"]) in text


def test_a_tree_unfolds_through_learned_codes_of_chance():
    agent = coder("2048?size=3")
    states = jzero.init_batch(agent.env, KEY, 1)
    found = agent.analyse(states, KEY, 60)
    searched, rules = Searched(found, 0), Rules(agent.env, found.name)
    state = jax.tree.map(lambda x: x[0], states)
    moves = list(searched.below(rules, state, [], 0))
    assert {move.action: move.visits for move, _ in moves} == {
        action: round(visits) for action, visits in enumerate(found.visits[0].tolist()) if visits
    }
    codes = [name for move, _ in moves for _, name in searched.below(rules, state, [move.action], 0)]
    assert {name.split()[0] for name in codes} == {"code"}

    def chances(node):
        return sum((child.action >= 4) + chances(child.node) for child in searched.branches.below(node))

    text = found.show()._repr_html_()
    assert text.count('class="jz-node jz-chance"') == chances(0) > len(codes)
    assert text.count('class="jz-picture"') == 1 + len(moves)
    assert "code " in repr(found.show())
