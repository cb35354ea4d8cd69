"""Blob against OpenSpiel and the plain rules; redrawn hands against all deals that are possible."""

from collections import Counter
from functools import cache
from itertools import islice
from typing import NamedTuple
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from jax.extend.core import jaxprs_in_params
from jzero_envs.blob import Blob, BlobState
from scipy import stats

import jzero
from jzero import check_env
from jzero.env import init_batch, observe_batch, step_batch
from tests.oracles.blob import DECK, Round

pytestmark = pytest.mark.usefixtures("quick_compilation")

FOUR = Blob()
SPIEL_SUITS = (2, 3, 0, 1)  # OpenSpiel's numbers of spades, hearts, clubs, diamonds


class Games(NamedTuple):
    """Random games of one length; L decisions, G games."""

    states: BlobState  # [L + 1, G, ...]: before each decision, and the last ones
    actions: np.ndarray  # i32[L, G]


def decisions(env):
    return sum(env.players * (1 + size) for size in env.hand_sizes)


@cache
def random_play(env, num_games, seed):
    """Games in which everyone acts at random."""
    games = jax.tree.map(np.asarray, compile_play(env, max(num_games, 128))(jax.random.key(seed)))
    return jax.tree.map(lambda leaf: leaf[:, :num_games], Games(*games))


@cache
def compile_play(env, num_games):
    """key -> states and actions of games: one compiled loop for all tests of a game."""

    def act(states, key):
        act_key, step_key = jax.random.split(key)
        logits = jnp.where(states.legal_action_mask, 0.0, -jnp.inf)
        actions = jax.random.categorical(act_key, logits).astype(jnp.int32)
        after = step_batch(env, states, actions, step_key)
        return after, (after, actions)

    @jax.jit
    def play(key):
        init_key, key = jax.random.split(key)
        first = init_batch(env, init_key, num_games)
        _, (after, actions) = jax.lax.scan(act, first, jax.random.split(key, decisions(env)))
        return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, after), actions

    return play


def one(states, *index):
    return jax.tree.map(lambda leaf: leaf[index], states)


def cards_of(words):
    """Cards (numbers) of u32[2]."""
    return [card for card in range(52) if int(words[card // 26]) >> (card % 26) & 1]


def words_of(cards):
    """u32[2] of cards."""
    cards = list(cards)
    bits = [sum(1 << (card % 26) for card in cards if card // 26 == word) for word in range(2)]
    return np.array(bits, np.uint32)


def oracle_of(state):
    """The plain round at the start of `state`'s."""
    hands = [[DECK[card] for card in cards_of(words)] for words in state.hands]
    return Round(hands, dealer=int(state.dealer), trump=int(state.trump))


def oracle_at(games, ply, game):
    """The plain round of a game of one round at decision `ply`."""
    position = oracle_of(one(games.states, 0, game))
    for action in games.actions[:ply, game]:
        position.apply_action(int(action))
    return position


# The rules.


@pytest.mark.parametrize(
    ("players", "cards"), [(3, 13), (4, 5), (4, 13), (8, 6), (3, 1), (5, 8)], ids=lambda number: str(number)
)
def test_random_rounds_follow_the_rules(players, cards):
    env, num_games = Blob(players, cards), 40
    games = random_play(env, num_games, seed=1)
    assert set(games.states.trump[0].tolist()) == {0, 1, 2, 3, 4}
    assert set(games.states.dealer[0].tolist()) == set(range(players))
    for game in range(num_games):
        position = oracle_of(one(games.states, 0, game))
        for ply in range(decisions(env) + 1):
            state = one(games.states, ply, game)
            assert_same_round(state, position)
            assert state.terminated == position.is_over()
            assert np.allclose(state.rewards, np.array(position.scores()) / (10 + cards))
            if ply < decisions(env):
                position.apply_action(int(games.actions[ply, game]))
        assert position.is_over()
        assert state.scores.tolist() == position.scores()


def assert_same_round(state, position):
    assert np.flatnonzero(state.legal_action_mask).tolist() == position.legal_actions()
    assert [cards_of(words) for words in state.hands] == [
        [DECK.index(card) for card in hand] for hand in position.hands
    ]
    assert state.bids.tolist() == [position.bids.get(seat, -1) for seat in range(position.players)]
    assert state.tricks.tolist() == position.taken()
    table = dict(position.open_trick())
    assert state.trick.tolist() == [
        DECK.index(table[seat]) if seat in table else -1 for seat in range(position.players)
    ]
    assert [
        {suit for suit in range(4) if mask >> suit & 1} for mask in state.voids.tolist()
    ] == position.voids()
    assert not state.truncated
    if not position.is_over():
        assert state.current_player == position.mover()


def test_games_of_rounds_follow_the_rules():
    env, num_games = Blob(4, rounds=(3, 1, 2, 1, 1, 2, 1)), 32
    games = random_play(env, num_games, seed=2)
    for game in range(num_games):
        scores, ply = np.zeros(4, int), 0
        dealer = int(games.states.dealer[0, game])
        for index, size in enumerate(env.rounds):
            state = one(games.states, ply, game)
            position = oracle_of(state)
            assert (state.round, state.trump, state.dealer) == (index, index % 5, (dealer + index) % 4)
            assert position.size == size
            for _ in range(4 + 4 * size):
                state = one(games.states, ply, game)
                assert_same_round(state, position)
                assert state.scores.tolist() == scores.tolist()
                assert not state.terminated
                position.apply_action(int(games.actions[ply, game]))
                ply += 1
            earned = np.array(position.scores())
            assert np.allclose(games.states.rewards[ply, game], earned / (13 * len(env.rounds)))
            scores += earned
        last = one(games.states, ply, game)
        assert last.terminated
        assert last.scores.tolist() == scores.tolist()
    assert len(set(games.states.dealer[0].tolist())) == 4


def spiel_action(action):
    suit, rank = divmod(action, 13)
    return 4 * rank + SPIEL_SUITS[suit] if action < 52 else action


def spiel_round(game, state):
    """OpenSpiel's state after the same deal; None where no card of the stock can be turned to make the trump."""
    hands = [cards_of(words) for words in state.hands]
    stock = sorted(set(range(52)).difference(*hands))
    turned = [card for card in stock if card // 13 == state.trump]
    if not turned:
        return None
    position = game.new_initial_state()
    position.apply_action(len(hands[0]))
    position.apply_action(int(state.dealer))
    for cards in zip(*hands, strict=True):
        for card in cards:
            position.apply_action(spiel_action(card))
    position.apply_action(spiel_action(turned[0]))
    return position


def assert_same_as_openspiel(players, cards, num_games, seed):
    """Plays random rounds next to OpenSpiel; returns how many it could deal."""
    games = random_play(Blob(players, cards), num_games, seed)
    spiel = pyspiel.load_game("oh_hell", {"players": players, "num_tricks_fixed": cards})
    legal, movers = games.states.legal_action_mask, games.states.current_player
    played = 0
    for game in range(num_games):
        position = spiel_round(spiel, one(games.states, 0, game))
        if position is None:
            continue
        for ply, action in enumerate(games.actions[:, game].tolist()):
            allowed = sorted(map(spiel_action, np.flatnonzero(legal[ply, game]).tolist()))
            assert position.legal_actions() == allowed
            assert position.current_player() == movers[ply, game]  # tells who took the last trick
            position.apply_action(spiel_action(action))
        assert position.is_terminal()
        assert games.states.terminated[-1, game]
        last = one(games.states, -1, game)
        made = last.tricks == last.bids
        assert position.returns() == np.where(made, 10 + last.tricks, last.tricks).tolist()
        assert last.scores.tolist() == np.where(made, 10 + last.bids, 0).tolist()
        assert np.allclose(last.rewards, last.scores / (10 + cards))
        played += 1
    return played


@pytest.mark.parametrize(("players", "cards"), [(3, 13), (4, 5), (5, 8), (6, 7), (7, 3)], ids=str)
def test_random_rounds_agree_with_openspiel(players, cards):
    assert assert_same_as_openspiel(players, cards, num_games=128, seed=3) > 80


@pytest.mark.slow
def test_many_random_rounds_agree_with_openspiel():
    sizes = {3: (1, 7, 13), 4: (2, 5, 12), 5: (3, 9), 6: (4, 8), 7: (1, 6)}
    played = sum(
        assert_same_as_openspiel(players, cards, num_games=2500, seed=4)
        for players, hands in sizes.items()
        for cards in hands
    )
    assert played > 20_000


@pytest.mark.parametrize(
    "env", [FOUR, Blob(8, 6), Blob(3, rounds=(2, 1, 3))], ids=lambda env: str(env.players)
)
def test_check_env_finds_nothing(env):
    check_env(env, num_games=8)


def test_its_name_takes_the_players_and_the_cards():
    assert jzero.make("blob?players=4&cards=5") == FOUR
    assert jzero.make("blob?players=3&rounds=(2, 1)") == Blob(3, rounds=(2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"players": 2}, r"players is 2; Blob is a game for 3 to 8: give an int from 3 to 8"),
        ({"players": 9}, r"players is 9; Blob is a game for 3 to 8"),
        ({"players": 4.0}, r"players is 4.0; Blob is a game for 3 to 8"),
        (
            {"cards": 0},
            r"cards is 0; 4 players can get 1 to 13 cards each from a deck of 52: give an int from",
        ),
        ({"cards": 14, "players": 3}, r"cards is 14; 3 players can get 1 to 13 cards each"),
        ({"cards": 7, "players": 8}, r"cards is 7; 8 players can get 1 to 6 cards each .* or fewer players"),
        ({"rounds": ()}, r"rounds is \(\); expected a tuple of 1 to 127 hand sizes, each 1 to 13 with 4"),
        (
            {"rounds": [3, 2]},
            r"rounds is \[3, 2\]; expected a tuple .* such as \(3, 2, 1, 1, 2, 3\), or None",
        ),
        ({"rounds": (3, 0)}, r"rounds is \(3, 0\); expected a tuple"),
        ({"rounds": (7,), "players": 8}, r"rounds is \(7,\); .* each 1 to 6 with 8 players"),
    ],
)
def test_a_game_that_cannot_be_dealt_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Blob(**arguments)


def test_an_illegal_action_loses_and_finished_games_stay():
    num_games = 128
    games = random_play(FOUR, num_games, seed=5)
    step = jax.jit(lambda states, actions: step_batch(FOUR, states, actions, jax.random.key(0)))
    rng = np.random.default_rng(0)
    for ply in range(decisions(FOUR)):
        states = one(games.states, ply)
        illegal = rng.random((num_games, 66)) - states.legal_action_mask
        actions = illegal.argmax(axis=1)
        actions[:2] = -1, 66
        after = jax.tree.map(np.asarray, step(states, actions.astype(np.int32)))
        assert after.terminated.all()
        assert not after.legal_action_mask.any()
        mover = np.arange(4) == states.current_player[:, None]
        assert (after.rewards == np.where(mover, -1, 1)).all()
        for field in ("hands", "played", "trick", "bids", "tricks", "scores", "current_player"):
            assert (getattr(after, field) == getattr(states, field)).all()
    for finished in (after, one(games.states, -1)):
        again = jax.tree.map(np.asarray, step(finished, rng.integers(-2, 68, num_games).astype(np.int32)))
        assert not again.rewards.any()
        jax.tree.map(np.testing.assert_array_equal, again, finished._replace(rewards=again.rewards))


def test_deals_are_uniform_and_come_from_the_key():
    env = Blob(4, rounds=(2, 3))
    deals = jax.jit(lambda key: init_batch(env, key, 26_000))(jax.random.key(6)).hands
    held = np.array([[int(word) >> bit & 1 for word in row for bit in range(26)] for row in deals[:2000, 1]])
    assert (held.sum(axis=1) == 2).all()
    holders = [(np.asarray(deals[..., card // 26]) >> (card % 26) & 1).sum(axis=0) for card in range(52)]
    assert stats.chisquare(np.ravel(holders)).pvalue > 1e-3  # 26,000 x 8 cards over 52 x 4 cells
    games = random_play(env, 32, seed=7)
    before, action = one(games.states, 11), games.actions[11]
    step = jax.jit(lambda states, actions, key: step_batch(env, states, actions, key).hands)
    first, second = (np.asarray(step(before, action, jax.random.key(seed))) for seed in (1, 2))
    assert (first != second).any(axis=(1, 2)).all()
    assert (first == np.asarray(step(before, action, jax.random.key(1)))).all()


def test_a_state_takes_180_bytes():
    state = jax.eval_shape(FOUR.init, jax.random.key(0))
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) == 180


# The observation.


@pytest.mark.parametrize("env", [FOUR, Blob(3, 13), Blob(8, 6)], ids=lambda env: str(env.players))
def test_the_observation_says_what_the_mover_sees(env):
    num_games = 12
    games = random_play(env, num_games, seed=8)
    observe = jax.jit(lambda states: observe_batch(env, states))
    for ply in range(0, decisions(env), 1 if env is FOUR else 5):
        seen = jax.tree.map(np.asarray, observe(one(games.states, ply)))
        for game in range(num_games):
            cards, players, table = seen_by_mover(oracle_at(games, ply, game), env)
            assert np.allclose(seen.cards[game], cards)
            assert np.allclose(seen.players[game], players)
            assert np.allclose(seen.table[game], table)


def test_what_is_revealed_are_all_hands_the_movers_first():
    num_games = 12
    games = random_play(FOUR, num_games, seed=9)
    reveal = jax.jit(jax.vmap(FOUR.reveal))
    for ply in range(0, decisions(FOUR), 3):
        revealed = np.asarray(reveal(one(games.states, ply)))
        for game in range(num_games):
            position = oracle_at(games, ply, game)
            seats = [(position.mover() + i) % 4 for i in range(4)]
            expected = [[card in position.hands[seat] for card in DECK] for seat in seats]
            assert (revealed[game] == expected).all()


def seen_by_mover(position, env):
    """The three arrays of an observation of a single round, from the plain rules."""
    mover, size, seats = position.mover(), position.size, position.players
    order = [(mover + i) % seats for i in range(seats)]
    trick, hand = position.open_trick(), position.hands[mover]
    led = trick[0][1][0] if trick else None
    best = dict(trick)[position.taker(trick)] if trick else None
    history = {card: seat for past in position.tricks for seat, card in past}
    on_table = {card: seat for seat, card in trick}
    unseen = [card for card in DECK if card not in history and card not in hand]

    def wins_now(card):
        if best is None:
            return False
        if position.trump in (card[0], best[0]):
            return card > best if card[0] == best[0] else card[0] == position.trump
        return card[0] == led and card[1] > best[1]

    cards = [
        [
            card in hand,
            DECK.index(card) in position.legal_actions(),
            card[0] == position.trump,
            card[0] == led,
            card == best,
            wins_now(card),
            sum(other[0] == card[0] and other[1] > card[1] for other in unseen) / 12,
            *(card not in on_table and history.get(card) == seat for seat in order),
            *(on_table.get(card) == seat for seat in order),
        ]
        for card in DECK
    ]
    taken, bids, voids = position.taken(), position.bids, position.voids()
    left, bidding = size - sum(taken), len(bids) < seats
    leader = trick[0][0] if trick else mover
    players = [
        [
            bids.get(seat, 0) / size,
            seat in bids,
            taken[seat] / size,
            (bids[seat] - taken[seat]) / size if seat in bids else 0,
            bids.get(seat) == taken[seat],
            seat in bids and not 0 <= bids[seat] - taken[seat] <= left,
            seat == position.dealer,
            not bidding and seat == leader,
            seat not in bids if bidding else seat not in dict(trick),
            bool(trick) and seat == position.taker(trick),
            *(suit in voids[seat] for suit in range(4)),
            0,
        ]
        for seat in order
    ]
    total = sum(bids.values())
    table = [
        *(position.trump == suit for suit in range(5)),
        bidding,
        1,
        left / size,
        total / size,
        (total - size) / size,
        len(trick) / seats,
        1 - seats * size / 52,
        0,
    ]
    return np.array(cards, float), np.array(players, float), np.array(table, float)


def test_the_observation_counts_rounds_and_scores():
    env = Blob(3, rounds=(1, 4))
    games = random_play(env, 64, seed=9)
    observe = jax.jit(lambda states: observe_batch(env, states))
    for ply, rounds_left, size in ((0, 0.5, 0.25), (6, 0.0, 1.0)):
        states = one(games.states, ply)
        seen = jax.tree.map(np.asarray, observe(states))
        seat = (states.current_player[:, None] + np.arange(3)) % 3
        assert np.allclose(seen.players[:, :, -1], np.take_along_axis(states.scores, seat, axis=1) / 28)
        assert (seen.table[:, -1] == rounds_left).all()
        assert (seen.table[:, 6] == size).all()
    assert states.scores.any()


# Redrawing what is hidden.


@cache
def resample_worlds(env, num_worlds):
    """states [G], key -> states [G, W]; the states are not mapped over the worlds."""
    worlds = jax.vmap(env.resample, in_axes=(None, 0))

    def run(states, key):
        return jax.vmap(worlds)(states, jax.random.split(key, (states.current_player.shape[0], num_worlds)))

    return jax.jit(run)


def counts(words):
    return np.bitwise_count(words).sum(axis=-1)


@pytest.mark.parametrize(
    "env",
    [FOUR, Blob(4, 13), Blob(3, 13), Blob(8, 6), Blob(3, 1)],
    ids=lambda env: f"{env.players}x{env.cards}",
)
def test_redrawn_hands_agree_with_all_the_mover_knows(env):
    games, num_worlds = random_play(env, 32, seed=10), 4
    resample, suit_words = (
        resample_worlds(env, num_worlds),
        [words_of(range(s, s + 13)) for s in (0, 13, 26, 39)],
    )
    changed = 0
    for ply in range(0, decisions(env), 1 if env.cards < 9 else 3):
        states = one(games.states, ply)
        worlds = jax.tree.map(np.asarray, resample(states, jax.random.key(ply)))
        for field in set(BlobState._fields) - {"hands"}:
            before = getattr(states, field)
            assert (getattr(worlds, field) == before[:, None]).all()
        hands = states.hands[:, None]
        mover = (np.arange(env.players) == states.current_player[:, None])[:, None]
        assert (worlds.hands == hands)[mover.repeat(num_worlds, axis=1)].all()
        assert (counts(worlds.hands) == counts(hands)).all()
        everything = np.concatenate([worlds.hands, worlds.played], axis=2)
        assert (counts(np.bitwise_or.reduce(everything, axis=2)) == counts(everything).sum(axis=2)).all()
        for suit, words in enumerate(suit_words):
            void = (states.voids >> suit & 1 == 1)[:, None] & ~mover
            assert not (counts(worlds.hands & words) * void).any()
        changed += (worlds.hands != hands).any(axis=(2, 3)).sum()
    assert changed > 100


class Case(NamedTuple):
    """A kind of position with few possible deals."""

    env: Blob
    void_in_trick: bool  # a void was shown by a card that is on the table
    least_voids: int  # hands, not empty, with a void
    most_deals: int


CASES = [
    Case(Blob(4, 13), False, 1, 300),
    Case(Blob(4, 13), False, 2, 300),
    Case(Blob(4, 13), False, 3, 300),
    Case(Blob(4, 13), True, 2, 300),
    Case(Blob(5, 10), False, 3, 300),
    Case(Blob(5, 10), True, 2, 300),
    Case(FOUR, False, 2, 300),
    Case(Blob(3, 5), True, 1, 600),
    Case(Blob(3, 13), False, 0, 300),
    Case(Blob(8, 6), False, 2, 300),
]


def positions(case, number):
    """(state, deals) of the first `number` positions of the kind, from different games."""
    games = random_play(case.env, 96, seed=11)
    found = []
    for game in range(96):
        for ply in range(decisions(case.env) * 2 // 3, decisions(case.env)):
            state, position = one(games.states, ply, game), oracle_at(games, ply, game)
            others = [seat for seat in range(position.players) if seat != position.mover()]
            voids = [seat for seat in others if position.hands[seat] and position.voids()[seat]]
            trick = position.open_trick()
            fresh = [seat for seat, card in trick if card[0] != trick[0][1][0] and position.hands[seat]]
            if len(voids) < case.least_voids or case.void_in_trick > bool(fresh):
                continue
            deals = list(islice(position.consistent_deals(), case.most_deals + 1))
            if 12 <= len(deals) <= case.most_deals:
                found.append((state, deals))
                break
        if len(found) == number:
            break
    return found


@pytest.mark.parametrize("index", range(len(CASES)))
def test_redrawn_hands_are_uniform_over_all_possible_deals(index):
    found = positions(CASES[index], number=3)
    assert len(found) == 3
    draws = -(-40 * max(len(deals) for _, deals in found) // 1500)
    states = jax.tree.map(lambda *leaves: np.stack(leaves), *(state for state, _ in found))
    resample = resample_worlds(CASES[index].env, 1500)
    keys = jax.random.split(jax.random.key(index), draws)
    drawn = np.concatenate([resample(states, key).hands for key in keys], axis=1)
    for game, (_, deals) in enumerate(found):
        expected = [np.array([words_of(map(DECK.index, hand)) for hand in deal]) for deal in deals]
        tally = Counter(hands.tobytes() for hands in drawn[game])
        assert set(tally) <= {hands.tobytes() for hands in expected}
        assert stats.chisquare([tally[hands.tobytes()] for hands in expected]).pvalue > 1e-4


@pytest.mark.parametrize("env", [FOUR, Blob(4, 13)], ids=lambda env: f"{env.players}x{env.cards}")
def test_hidden_cards_leak_nowhere(env):
    num_games = 32
    games, rng = random_play(env, num_games, seed=12), np.random.default_rng(1)
    observe = jax.jit(lambda states: observe_batch(env, states))
    resample = resample_worlds(env, 4)
    moved = 0
    for ply in range(decisions(env)):
        states = one(games.states, ply)
        others = states._replace(
            hands=np.stack([shuffle_hidden(one(states, g), rng) for g in range(num_games)])
        )
        moved += (others.hands != states.hands).any(axis=(1, 2)).sum()
        jax.tree.map(np.testing.assert_array_equal, observe(states), observe(others))
        jax.tree.map(
            np.testing.assert_array_equal,
            resample(states, jax.random.key(ply)),
            resample(others, jax.random.key(ply)),
        )
    assert moved > num_games * decisions(env) // 2


def shuffle_hidden(state, rng):
    """Hands in which the cards that the mover cannot see, the stock included, lie anywhere."""
    own = int(state.current_player)
    hands = [cards_of(words) for words in state.hands]
    seen = set(hands[own]).union(*map(cards_of, state.played))
    hidden = iter(rng.permutation([card for card in range(52) if card not in seen]).tolist())
    return np.stack(
        [words_of(hand if seat == own else islice(hidden, len(hand))) for seat, hand in enumerate(hands)]
    )


def test_the_legal_actions_are_those_of_the_hand_alone():
    games, rng = random_play(FOUR, 32, seed=13), np.random.default_rng(2)
    step = jax.jit(lambda states, actions: step_batch(FOUR, states, actions, jax.random.key(0)))
    for ply in range(decisions(FOUR) - 1):
        # The last mover's card or bid, in a deal where the next one holds the same but nobody else does.
        states, after = one(games.states, ply), one(games.states, ply + 1)
        hands = []
        for game in range(32):
            shuffled = shuffle_hidden(one(after, game), rng)
            hands.append(shuffled | (one(states, game).hands & ~one(after, game).hands))
        replayed = step(states._replace(hands=np.stack(hands)), games.actions[ply])
        assert (replayed.legal_action_mask == after.legal_action_mask).all()
        assert (replayed.current_player == after.current_player).all()


def test_nothing_large_is_computed_once_a_world():
    num_worlds = 7
    state = jax.eval_shape(FOUR.init, jax.random.key(0))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_worlds))
    jaxpr = jax.make_jaxpr(jax.vmap(FOUR.resample, in_axes=(None, 0)))(state, keys).jaxpr
    shapes = [shape for shape in all_shapes(jaxpr) if np.prod(shape) >= 1500]
    assert shapes, "the table of counts is that large"
    assert all(shape[0] != num_worlds or np.prod(shape) < 1500 * num_worlds for shape in shapes)


def all_shapes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (var.aval.shape for var in equation.outvars)
        for sub in jaxprs_in_params(equation.params):
            yield from all_shapes(sub)


# Pictures and words.


def test_pictures_and_words_show_all_cards():
    state = one(random_play(FOUR, 16, seed=14).states, 10, 0)
    drawing = ElementTree.fromstring(FOUR.svg(state))
    shown = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    names = [
        "23456789TJQKA"[card % 13] + "♠♥♣♦"[card // 13] for words in state.hands for card in cards_of(words)
    ]
    on_table = state.trick[state.trick >= 0].tolist()
    names += ["23456789TJQKA"[card % 13] + "♠♥♣♦"[card // 13] for card in on_table]
    assert len(names) == 14 + len(on_table)
    assert on_table
    assert set(names) <= set(shown)
    text = FOUR.text(state)
    assert all(name in text for name in names)
    for seat in range(4):
        result = f"bid {state.bids[seat]}, took {state.tricks[seat]}"
        assert result in shown
        assert result in text
    assert text.count("▸") == 1
    assert text.splitlines()[1 + state.current_player].startswith("▸")
    finished = one(random_play(FOUR, 16, seed=14).states, -1, 0)
    assert ", over" in FOUR.text(finished).splitlines()[0]
    assert "▸" not in FOUR.text(finished)
    assert "<rect" in FOUR.svg(finished)
