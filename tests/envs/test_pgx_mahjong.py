"""Sparrow Mahjong: the tiles that worlds deal anew, and the pictures, against tiles followed one by one."""

import collections
import itertools
from xml.etree import ElementTree

import jax
import numpy as np
import pytest

from jzero import make
from jzero.env import replace
from jzero.env_spec import describe
from jzero.evaluate.engines import random_player
from jzero.evaluate.players import rollouts
from jzero.evaluate.table import play_tables

pgx = pytest.importorskip("pgx", exc_type=ImportError)

WORLDS = 3000


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


class Tiles:
    """A game whose tiles are followed by their numbers 0 to 43, from the order of the wall."""

    def __init__(self, state):
        self.wall = np.asarray(state._wall).tolist()
        self.hands = [self.wall[5 * player : 5 * player + 5] for player in range(3)]
        self.hands[0].append(self.wall[15])
        self.rivers = [[], [], []]
        self.drawn = 16

    @staticmethod
    def kind(tile):
        """(type, whether it is red): the first of four bamboos, all red dragons."""
        kind = tile // 4
        return kind, kind == 10 or (kind < 9 and tile % 4 == 0)

    def discard(self, turn, kind):
        """The red tile of a type goes last."""
        hand = self.hands[turn % 3]
        tile = min((tile for tile in hand if tile // 4 == kind), key=lambda tile: self.kind(tile)[1])
        hand.remove(tile)
        self.rivers[turn % 3].append(tile)
        self.hands[(turn + 1) % 3].append(self.wall[self.drawn])
        self.drawn += 1

    def kinds(self, tiles):
        return collections.Counter(map(self.kind, tiles))

    def unseen(self, mover):
        """The tiles that the mover has not seen."""
        seen = [*self.hands[mover], *itertools.chain(*self.rivers), self.wall[-1]]
        return set(range(44)) - set(seen)


def kinds_of(hand, red):
    """The tiles of a hand of the state, by kind."""
    found = collections.Counter()
    for kind in range(11):
        found[kind, True] = int(red[kind])
        found[kind, False] = int(hand[kind] - red[kind])
    return +found


@pytest.fixture(scope="module")
def env():
    return make("pgx:sparrow_mahjong")


@pytest.fixture(scope="module")
def played(env):
    """(state, tiles) after each ply of some random games."""
    init, step, rng, found = jax.jit(env.init), jax.jit(env.step), np.random.default_rng(0), []
    for seed in range(6):
        state = init(jax.random.key(seed))
        tiles = Tiles(state)
        while not state.terminated:
            hands = [list(hand) for hand in tiles.hands]
            copied = Tiles(state)
            copied.hands, copied.drawn = hands, tiles.drawn
            copied.rivers = [list(river) for river in tiles.rivers]
            found.append((jax.device_get(state), copied))
            action = int(rng.choice(np.flatnonzero(state.legal_action_mask)))
            tiles.discard(int(state._turn), action)
            state = step(state, action, jax.random.key(0))
    assert max(int(state._turn) for state, _ in found) > 15
    return found


@pytest.fixture(scope="module")
def draw(env):
    return jax.jit(jax.vmap(env.resample, in_axes=(None, 0)))


def worlds(draw, state, number, seed=0):
    return jax.device_get(draw(state, jax.random.split(jax.random.key(seed), number)))


def test_the_tiles_of_a_world_are_those_of_the_game(env, played, draw):
    observe = jax.jit(jax.vmap(env.observe))
    for state, tiles in played:
        mover = int(state._turn) % 3
        for player in range(3):
            assert kinds_of(state._hands[player], state._n_red_in_hands[player]) == tiles.kinds(
                tiles.hands[player]
            )
        found = worlds(draw, state, 12)
        assert (observe(found) == observe(jax.tree.map(lambda leaf: leaf[None], state))).all()
        unseen = tiles.kinds(tiles.unseen(mover))
        for world in range(12):
            hands = [
                kinds_of(found._hands[world, player], found._n_red_in_hands[world, player])
                for player in range(3)
            ]
            assert hands[mover] == tiles.kinds(tiles.hands[mover])
            wall = found._wall[world]
            assert sorted(wall.tolist()) == list(range(44))
            assert tiles.kind(wall[-1]) == tiles.kind(tiles.wall[-1])
            others = hands[(mover + 1) % 3] + hands[(mover + 2) % 3]
            assert others + tiles.kinds(wall[tiles.drawn : -1].tolist()) == unseen
            assert others.total() == 10


def test_a_world_depends_on_nothing_that_its_mover_does_not_see(played, draw):
    for state, _ in played[::3]:
        other = jax.tree.map(lambda leaf: leaf[0], worlds(draw, state, 1, seed=5))
        assert (other._hands != state._hands).any()
        for one, same in zip(
            jax.tree.leaves(worlds(draw, state, 8)), jax.tree.leaves(worlds(draw, other, 8)), strict=True
        ):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("turn", [0, 7, 15])
def test_unseen_tiles_are_dealt_uniformly(played, draw, turn):
    """Each hand is a draw without replacement: means and variances of the hypergeometric distribution."""
    state, tiles = next(pair for pair in played if int(pair[0]._turn) == turn)
    mover = turn % 3
    unseen = tiles.unseen(mover)
    kinds = tiles.kinds(unseen)
    found = worlds(draw, state, WORLDS)
    for player in ((mover + 1) % 3, (mover + 2) % 3):
        reds = found._n_red_in_hands[:, player]
        for (kind, red), number in kinds.items():
            held = reds[:, kind] if red else found._hands[:, player, kind] - reds[:, kind]
            share = number / len(unseen)
            variance = 5 * share * (1 - share) * (len(unseen) - 5) / (len(unseen) - 1)
            assert abs(held.mean() - 5 * share) < 5 * np.sqrt(variance / WORLDS)
            assert held.var() == pytest.approx(variance, rel=0.35, abs=0.02)
    # The next tile of the wall too.
    following = tiles.kinds(found._wall[:, tiles.drawn].tolist())
    for kind, number in kinds.items():
        share = number / len(unseen)
        assert abs(following[kind] - WORLDS * share) < 5 * np.sqrt(WORLDS * share * (1 - share))


def test_hands_are_revealed_the_movers_first(env, played):
    for state, tiles in played[:20]:
        revealed = 4 * np.asarray(env.reveal(state))
        for place in range(3):
            hand = tiles.hands[(int(state._turn) + place) % 3]
            assert kinds_of(*revealed[place]) == tiles.kinds(hand)


def test_a_picture_shows_the_tiles_that_its_player_sees_alone(env, played):
    for state, _ in played[::4]:
        seats = np.asarray(state._shuffled_players).tolist()
        ElementTree.fromstring(env.svg(state))
        for player in range(3):
            for row in range(3):
                hands, reds = state._hands.copy(), state._n_red_in_hands.copy()
                hands[row], reds[row] = np.roll(hands[row], 1), np.roll(reds[row], 1)
                other = replace(state, _hands=hands, _n_red_in_hands=reds)
                same = env.svg_for(other, player) == env.svg_for(state, player)
                assert same == (seats[row] != player)
                assert env.svg(other) != env.svg(state)
    assert env.action_name(played[0][0], 9) == "G"


@pytest.mark.slow
def test_a_search_by_random_rollouts_in_worlds_beats_random_play(env):
    assert describe(env).values_by_seat
    result = play_tables(
        env, rollouts(env, 20).player, random_player(env), num_deals=60, key=jax.random.key(0)
    )
    difference = (result.own - result.others).mean(axis=1)
    assert difference.mean() > 3 * difference.std() / np.sqrt(len(difference))
