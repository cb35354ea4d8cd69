"""Blob (Oh Hell) for 3 to 8 players: bid how many tricks you will take, then take exactly that many.

A round: every player gets T cards, bids in turn from the dealer's left, and plays T tricks. The dealer's bid may
not make the bids sum to T. Players must follow suit; the highest trump, else the highest card of the suit led,
takes the trick, and its player leads the next. Tricks equal to the bid score 10 + bid, anything else scores 0. A
round always takes P bids and then P x T cards, so all games of one configuration have the same length.

Actions 0..51 are cards, 13 x suit + rank (suits spades, hearts, clubs, diamonds; ranks 2..A), and 52 + b bids b.
A set of cards is 52 bits in two uint32 words: card c is bit c % 26 of word c // 26, so a word holds two suits.

Axes: P players (absolute seats), R seats relative to the observer, C = 52 cards, S = 4 suits.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import forfeit, keep_finished
from jzero_envs.bits import on_last_axis

SUITS, RANKS, CARDS = 4, 13, 52
NO_TRUMP = 4  # a fifth "suit" that no card has
FACE_DOWN = -1  # a card that the picture's viewer may not see
CARD_SIZE = (26, 30)  # of pictures
SUIT_SIGNS, RANK_SIGNS = "♠♥♣♦", "23456789TJQKA"
SUIT_OF, RANK_OF = np.divmod(np.arange(CARDS, dtype=np.int32), RANKS)
CARD_WORD, CARD_BIT = np.arange(CARDS) // 26, (np.arange(CARDS) % 26).astype(np.uint32)
SUIT_WORDS = np.array([[0x1FFF, 0], [0x3FFE000, 0], [0, 0x1FFF], [0, 0x3FFE000]], np.uint32)


class BlobState(NamedTuple):
    """One position, with the cards of all players. Cards that nobody holds or has played are the stock."""

    hands: jax.Array  # u32[P, 2]: cards held
    played: jax.Array  # u32[P, 2]: cards played in this round, those on the table included
    trick: jax.Array  # i8[P]: the card each seat has on the table, -1 if none
    bids: jax.Array  # i8[P]: -1 before the bid
    tricks: jax.Array  # i8[P]: tricks taken in this round
    voids: jax.Array  # u8[P]: bit s is set where the seat has shown that it has no card of suit s
    scores: jax.Array  # i16[P]: of the finished rounds
    leader: jax.Array  # i8[]: the seat that leads the trick on the table, or the first one
    dealer: jax.Array  # i8[]
    trump: jax.Array  # i8[]: a suit, or NO_TRUMP
    round: jax.Array  # i8[]: 0 .. number of rounds - 1
    current_player: jax.Array  # i32[]
    legal_action_mask: jax.Array  # bool[66]; no action is legal in a finished game
    rewards: jax.Array  # f32[P]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


class BlobObservation(NamedTuple):
    """What the player to move sees; all float32. Rows of `cards` are cards, rows of `players` relative seats."""

    cards: jax.Array  # [52, 7 + 2 R]: see `_card_features`
    players: jax.Array  # [R, 15]: see `_player_features`
    table: jax.Array  # [13]: see `_table_features`


@dataclass(frozen=True)
class Blob:
    """One round of `cards` cards per player with random dealer and trump, or a whole game of `rounds`.

    A player gets its reward when a round ends: its score / (R (10 + T)) with R rounds and T cards in the largest
    hand, so a game's return is in [0, 1].
    """

    players: int = 4
    """Players, 3 to 8."""
    cards: int = 5
    """Cards per player, if `rounds` is None."""
    rounds: tuple[int, ...] | None = None
    """Cards per player in each round. Trump goes spades, hearts, clubs, diamonds, none; the deal moves left."""

    name = "blob"
    num_actions = CARDS + RANKS + 1
    zero_sum = False

    def __post_init__(self) -> None:
        _check(self.players, self.cards, self.rounds)

    @property
    def num_players(self) -> int:
        """P."""
        return self.players

    @property
    def hand_sizes(self) -> tuple[int, ...]:
        """Cards per player in each round."""
        return (self.cards,) if self.rounds is None else self.rounds

    @property
    def points(self) -> int:
        """The points of a reward of 1: the most that a player can score in a game."""
        return (10 + self.max_cards) * len(self.hand_sizes)

    @property
    def max_cards(self) -> int:
        """T of the largest round."""
        return max(self.hand_sizes)

    def init(self, key: jax.Array) -> BlobState:
        """The first round after the deal; the dealer is random, in a game of one round also the trump."""
        deal_key, dealer_key, trump_key = jax.random.split(key, 3)
        seats = self.players
        trump = jax.random.randint(trump_key, (), 0, NO_TRUMP + 1, jnp.int32) if self.rounds is None else 0
        blank = BlobState(
            hands=jnp.zeros((seats, 2), jnp.uint32),
            played=jnp.zeros((seats, 2), jnp.uint32),
            trick=jnp.full(seats, -1, jnp.int8),
            bids=jnp.full(seats, -1, jnp.int8),
            tricks=jnp.zeros(seats, jnp.int8),
            voids=jnp.zeros(seats, jnp.uint8),
            scores=jnp.zeros(seats, jnp.int16),
            leader=jnp.int8(0),
            dealer=jnp.int8(0),
            trump=jnp.int8(0),
            round=jnp.int8(0),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.zeros(self.num_actions, bool),
            rewards=jnp.zeros(seats, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )
        dealer = jax.random.randint(dealer_key, (), 0, seats, jnp.int32)
        state = self._deal(blank, jnp.int32(0), dealer, jnp.asarray(trump), deal_key)
        return state._replace(legal_action_mask=self._legal(state))

    def step(self, state: BlobState, action: jax.Array, key: jax.Array) -> BlobState:
        """The position after the mover's bid or card; `key` deals the next round."""
        in_range = (action >= 0) & (action < self.num_actions)
        action = jnp.where(in_range, action, 0)
        legal = in_range & state.legal_action_mask[action]
        next_state = _play(_bid(state, action), action)
        next_state, round_over = self._end_trick(next_state)
        if len(self.hand_sizes) > 1:
            next_state = self._next_round(next_state, round_over & ~next_state.terminated, key)
        next_state = next_state._replace(legal_action_mask=self._legal(next_state))
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: BlobState) -> BlobObservation:
        """What the mover sees; it does not depend on cards hidden from it."""
        seat = (state.current_player + np.arange(self.players, dtype=np.int32)) % self.players
        size = self._hand_size(state)
        return BlobObservation(
            cards=_card_features(state, seat),
            players=_player_features(state, seat, size, self.points) / self._player_scales()[None],
            table=_table_features(state, size, self.max_cards, len(self.hand_sizes)),
        )

    def reveal(self, state: BlobState) -> jax.Array:
        """f32[R, 52]: the hands of all, the mover's first."""
        seat = (state.current_player + np.arange(self.players, dtype=np.int32)) % self.players
        return _unpack(state.hands[seat]).astype(jnp.float32)

    def resample(self, state: BlobState, key: jax.Array) -> BlobState:
        """`state` with the cards that the mover cannot see resampled: a uniform draw from all deals that agree with
        its own hand, the cards played, the sizes of the hands and the voids shown.

        Two states that differ only in hidden cards give the same result for the same key.
        """
        hidden = _hidden(state, self._hand_size(state))
        ways = _count_ways(hidden, (self.players - 1) * (self.max_cards - 1))  # depends on the state only
        suit_key, card_key = jax.random.split(key)
        counts = _draw_suits(hidden, ways, self.max_cards, suit_key)
        hands = _draw_cards(hidden, counts, card_key)
        mover = jnp.arange(self.players, dtype=jnp.int32)[:, None] == state.current_player
        return state._replace(hands=jnp.where(mover, state.hands, hands))

    def text(self, state: BlobState) -> str:
        """One (unbatched) state as text, with the cards of all players."""
        return self._words(_seats(state), state)

    def text_for(self, state: BlobState, player: int) -> str:
        """The same without the cards of the other players."""
        return self._words(_seats_for(state, player), state)

    def _words(self, shown: list["_Seat"], state: BlobState) -> str:
        seats = [" ".join(map(_card_name, seat.hand)) or "-" for seat in shown]
        lines = [
            f"{seat.label:<20} {seat.result:<16} hand {hand:<{max(map(len, seats))}}"
            + (f"  plays {_card_name(seat.card)}" if seat.card >= 0 else "")
            for seat, hand in zip(shown, seats, strict=True)
        ]
        return "\n".join([_headline(state, len(self.hand_sizes)), *map(str.rstrip, lines)])

    def svg(self, state: BlobState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string; all cards are face up."""
        return _draw(_seats(state), _headline(state, len(self.hand_sizes)), self.max_cards)

    def svg_for(self, state: BlobState, player: int) -> str:
        """The same with the cards of the other players face down."""
        return _draw(_seats_for(state, player), _headline(state, len(self.hand_sizes)), self.max_cards)

    def areas(self, state: BlobState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The cards that the player to move holds; bids have no place on the picture."""
        mover = int(state.current_player)
        return {
            card: ((*_place(mover, column), *CARD_SIZE),)
            for column, card in enumerate(_seats(state)[mover].hand)
        }

    def action_name(self, state: BlobState, action: int) -> str:
        """The card, such as A♠, or the bid."""
        del state
        return _card_name(action) if action < CARDS else f"bid {action - CARDS}"

    def _hand_size(self, state: BlobState) -> jax.Array:
        """i32[], T of this round."""
        return jnp.asarray(self.hand_sizes, jnp.int32)[state.round.astype(jnp.int32)]

    def _deal(
        self, state: BlobState, index: jax.Array, dealer: jax.Array, trump: jax.Array, key: jax.Array
    ) -> BlobState:
        """The start of round `index` (i32[]), without the legal actions."""
        size = jnp.asarray(self.hand_sizes, jnp.int32)[index]
        place = jax.random.permutation(key, CARDS)  # of each card in the shuffled deck
        first = (dealer + 1) % self.players
        return state._replace(
            hands=_pack((place // size)[None] == jnp.arange(self.players, dtype=jnp.int32)[:, None]),
            played=jnp.zeros_like(state.played),
            trick=jnp.full_like(state.trick, -1),
            bids=jnp.full_like(state.bids, -1),
            tricks=jnp.zeros_like(state.tricks),
            voids=jnp.zeros_like(state.voids),
            leader=first.astype(jnp.int8),
            dealer=dealer.astype(jnp.int8),
            trump=trump.astype(jnp.int8),
            round=index.astype(jnp.int8),
            current_player=first.astype(jnp.int32),
        )

    def _end_trick(self, state: BlobState) -> tuple[BlobState, jax.Array]:
        """Clears a full table and scores the round after its last trick; also bool[]: the round is over."""
        full = (state.trick >= 0).all()
        taker = _winner(state)
        tricks = state.tricks + (full & (jnp.arange(self.players, dtype=jnp.int32) == taker)).astype(jnp.int8)
        round_over = full & (tricks.sum(dtype=jnp.int32) == self._hand_size(state))
        points = jnp.where(round_over & (tricks == state.bids), 10 + state.bids.astype(jnp.int16), 0)
        state = state._replace(
            trick=jnp.where(full, jnp.int8(-1), state.trick),
            tricks=tricks,
            scores=state.scores + points.astype(jnp.int16),
            leader=jnp.where(full, taker.astype(jnp.int8), state.leader),
            current_player=jnp.where(full, taker, (state.current_player + 1) % self.players),
            rewards=(points / self.points).astype(jnp.float32),
            terminated=round_over & (state.round == len(self.hand_sizes) - 1),
        )
        return state, round_over

    def _next_round(self, state: BlobState, due: jax.Array, key: jax.Array) -> BlobState:
        """The next round if it is `due` (bool[]).

        On a CPU a loop of at most one iteration: unlike a select, it shuffles only if a game of the batch needs it.
        On a GPU a select, since the host would wait for the loop's condition.
        """

        def deal(state: BlobState) -> BlobState:
            index = state.round.astype(jnp.int32) + 1
            dealer = (state.dealer.astype(jnp.int32) + 1) % self.players
            return self._deal(state, index, dealer, index % (NO_TRUMP + 1), key)

        def select(state: BlobState, due: jax.Array) -> BlobState:
            return jax.tree.map(lambda new, old: jnp.where(due, new, old), deal(state), state)

        def loop(state: BlobState, due: jax.Array) -> BlobState:
            body = lambda carry: (jnp.bool_(False), deal(carry[1]))  # noqa: E731
            return jax.lax.while_loop(lambda carry: carry[0], body, (due, state))[1]

        return jax.lax.platform_dependent(state, due, cuda=select, default=loop)

    def _legal(self, state: BlobState) -> jax.Array:
        """bool[66]: bids until all have bid, then cards; nothing in a finished game."""
        size = self._hand_size(state)
        bidding = state.bids[state.current_player] < 0
        bids = np.arange(RANKS + 1, dtype=np.int32)
        bid_before = jnp.where(state.bids >= 0, state.bids, 0).sum(dtype=jnp.int32)
        refused = (state.current_player == state.dealer.astype(jnp.int32)) & (bids + bid_before == size)
        legal_bids = bidding & (bids <= size) & ~refused
        legal_cards = ~bidding & _unpack(_playable(state))
        return jnp.concatenate([legal_cards, legal_bids]) & ~state.terminated

    def _player_scales(self) -> np.ndarray:
        """f32[15]: the divisors of the player features."""
        scales = np.ones(15, np.float32)
        scales[[0, 2, 3]] = self.max_cards
        return scales


def _check(players: int, cards: int, rounds: tuple[int, ...] | None) -> None:
    """Raises ValueError for a game that cannot be dealt."""
    if not isinstance(players, int) or not 3 <= players <= 8:
        raise ValueError(f"players is {players!r}; Blob is a game for 3 to 8: give an int from 3 to 8")
    most = min(CARDS // players, RANKS)
    if rounds is None:
        if not isinstance(cards, int) or not 1 <= cards <= most:
            raise ValueError(
                f"cards is {cards!r}; {players} players can get 1 to {most} cards each from a deck of 52: "
                f"give an int from 1 to {most}, or fewer players"
            )
    elif (
        not isinstance(rounds, tuple)
        or not 1 <= len(rounds) <= 127
        or not all(isinstance(size, int) and 1 <= size <= most for size in rounds)
    ):
        raise ValueError(
            f"rounds is {rounds!r}; expected a tuple of 1 to 127 hand sizes, each 1 to {most} with {players} "
            f"players and a deck of 52, such as (3, 2, 1, 1, 2, 3), or None for a single round of `cards` cards"
        )


# Sets of cards.


def _pack(cards: jax.Array) -> jax.Array:
    """u32[..., 2] from bool[..., 52]."""
    bits = jnp.where(cards, np.uint32(1) << on_last_axis(CARD_BIT, cards.ndim), np.uint32(0))
    return bits.reshape(*cards.shape[:-1], 2, 26).sum(axis=-1, dtype=jnp.uint32)


def _unpack(words: jax.Array) -> jax.Array:
    """bool[..., 52] from u32[..., 2]."""
    return (jnp.repeat(words, 26, axis=-1) >> on_last_axis(CARD_BIT, words.ndim)) & 1 == 1


def _size(words: jax.Array) -> jax.Array:
    """i32[...]: how many cards are in u32[..., 2]."""
    return jax.lax.population_count(words).sum(axis=-1).astype(jnp.int32)


# The rules.


def _bid(state: BlobState, action: jax.Array) -> BlobState:
    """The mover's bid, if `action` is one."""
    mover = jnp.arange(state.bids.shape[0], dtype=jnp.int32) == state.current_player
    bid = (action - CARDS).astype(jnp.int8)
    return state._replace(bids=jnp.where(mover & (action >= CARDS), bid, state.bids))


def _play(state: BlobState, action: jax.Array) -> BlobState:
    """The mover's card on the table, if `action` is one; not following suit shows a void."""
    mover = (jnp.arange(state.bids.shape[0], dtype=jnp.int32) == state.current_player) & (action < CARDS)
    word, bit = np.arange(2, dtype=np.int32) == action // 26, (action % 26).astype(jnp.uint32)
    card = jnp.where(mover[:, None] & word[None], jnp.uint32(1) << bit, jnp.uint32(0))
    trick = jnp.where(mover, action.astype(jnp.int8), state.trick)
    led = trick[state.leader] // RANKS
    shown = jnp.where(action // RANKS == led.astype(jnp.int32), 0, 1 << led).astype(jnp.uint8)
    return state._replace(
        hands=state.hands & ~card,
        played=state.played | card,
        trick=trick,
        voids=state.voids | jnp.where(mover, shown, jnp.uint8(0)),
    )


def _strength(cards: jax.Array | np.ndarray, led: jax.Array, trump: jax.Array) -> jax.Array:
    """i32[...]: the order of `cards` (i32[...]) in a trick where suit `led` was led."""
    suit, rank = jnp.divmod(cards, RANKS)
    follows, trumps = ((wanted.astype(jnp.int32) == suit).astype(jnp.int32) for wanted in (led, trump))
    return rank + RANKS * follows + 2 * RANKS * trumps


def _winner(state: BlobState) -> jax.Array:
    """i32[]: the seat whose card would take the trick now; seat 0 if the table is empty."""
    led = state.trick[state.leader] // RANKS
    strength = jnp.where(state.trick >= 0, _strength(state.trick.astype(jnp.int32), led, state.trump), -1)
    return jnp.argmax(strength).astype(jnp.int32)


def _playable(state: BlobState) -> jax.Array:
    """u32[2]: the cards that the mover may play: those of the suit led, if it has any."""
    hand, led_card = state.hands[state.current_player], state.trick[state.leader]
    follow = hand & jnp.asarray(SUIT_WORDS)[led_card // RANKS]
    return jnp.where((led_card >= 0) & (follow != 0).any(), follow, hand)


# The observation.


def _card_features(state: BlobState, seat: jax.Array) -> jax.Array:
    """f32[52, 7 + 2 R]; `seat` (i32[R]) has the absolute seats of the relative ones. The columns:

    in the hand; may be played now; trump; of the suit led; would take the trick now; would beat that card; number
    of higher unseen cards of its suit (1 = 12); played earlier by R; on the table, played by R.
    """
    hand = _unpack(state.hands[seat[0]])
    played, trick = _unpack(state.played[seat]), state.trick[seat]
    led_card = state.trick[state.leader]
    some_led, led = led_card >= 0, led_card // RANKS
    on_table = (trick[:, None] == np.arange(CARDS, dtype=np.int8)[None]) & (trick >= 0)[:, None]
    taking = on_table[(_winner(state) - seat[0]) % seat.shape[0]]
    strength = _strength(np.arange(CARDS, dtype=np.int32), led, state.trump)
    best = jnp.where(taking, strength, 0).max()
    unseen = ~(hand | played.any(axis=0)).reshape(SUITS, RANKS)
    unseen = unseen.astype(jnp.int32)
    higher = unseen.sum(axis=1, keepdims=True) - jnp.cumsum(unseen, axis=1)
    columns = [
        hand,
        hand & state.legal_action_mask[:CARDS],
        state.trump.astype(jnp.int32) == SUIT_OF,
        some_led & (led.astype(jnp.int32) == SUIT_OF),
        taking,
        some_led & (strength > best),
        higher.reshape(CARDS) / 12,
    ]
    by_seat = [(played & ~on_table).T, on_table.T]
    return jnp.concatenate(
        [jnp.stack([column.astype(jnp.float32) for column in columns], axis=1)]
        + [columns.astype(jnp.float32) for columns in by_seat],
        axis=1,
    )


def _player_features(state: BlobState, seat: jax.Array, size: jax.Array, full_score: int) -> jax.Array:
    """f32[R, 15], in whole tricks; the columns:

    bid; has bid; tricks taken; tricks still wanted; has exactly its bid; can no longer make its bid; is the dealer;
    leads the trick; has still to act in this turn; would take the trick now; void in each suit (4); score of
    earlier rounds (1 = `full_score`).
    """
    bid, tricks = state.bids[seat].astype(jnp.int32), state.tricks[seat].astype(jnp.int32)
    has_bid, some_led = bid >= 0, (state.trick >= 0).any()
    bidding = (state.bids < 0).any()
    wanted = jnp.where(has_bid, bid - tricks, 0)
    left = size - state.tricks.sum(dtype=jnp.int32)
    columns = [
        jnp.where(has_bid, bid, 0),
        has_bid,
        tricks,
        wanted,
        has_bid & (wanted == 0),
        (wanted < 0) | (wanted > left),
        seat == state.dealer.astype(jnp.int32),
        ~bidding & (seat == state.leader.astype(jnp.int32)),
        jnp.where(bidding, ~has_bid, state.trick[seat] < 0),
        some_led & (seat == _winner(state)),
        *((state.voids[seat] >> suit) & 1 for suit in range(SUITS)),
        state.scores[seat] / full_score,
    ]
    return jnp.stack([column.astype(jnp.float32) for column in columns], axis=1)


def _table_features(state: BlobState, size: jax.Array, max_cards: int, num_rounds: int) -> jax.Array:
    """f32[13]: trump (4 suits, none); bidding goes on; cards per player at the start; tricks left; bids so far;
    bids so far less the round's tricks; cards on the table; share of the deck that was not dealt; rounds left after
    this one.
    """
    seats = state.bids.shape[0]
    bids = jnp.where(state.bids >= 0, state.bids, 0).sum(dtype=jnp.int32)
    numbers = [
        (state.bids < 0).any(),
        size / max_cards,
        (size - state.tricks.sum(dtype=jnp.int32)) / max_cards,
        bids / max_cards,
        (bids - size) / max_cards,
        (state.trick >= 0).sum(dtype=jnp.int32) / seats,
        (CARDS - seats * size) / CARDS,
        (num_rounds - 1 - state.round) / num_rounds,
    ]
    trump = (jnp.arange(NO_TRUMP + 1, dtype=jnp.int8) == state.trump).astype(jnp.float32)
    return jnp.concatenate([trump, jnp.stack([jnp.asarray(number, jnp.float32) for number in numbers])])


# Resampling hidden cards. A hidden hand is a row of slots, one per card. Each assignment of suits to slots that
# uses up the unseen cards of every suit stands for equally many deals (the cards of a suit in any order). So an
# assignment is drawn uniformly, slot by slot, and then the cards. Only the slots of hands with a void need
# counting: `_count_ways` gives, for the last j of them, the number of ways to fill them and all slots after them,
# given how many cards of each suit the slots before them have. Three of these numbers determine the fourth.


class _Hidden(NamedTuple):
    """What the mover knows about the cards it cannot see."""

    cards: jax.Array  # bool[52]: the unseen ones, in other hands or in the stock
    sizes: jax.Array  # i32[P]: cards in each hand, 0 for the mover's own
    allowed: jax.Array  # bool[P, 4]: suits that the seat may hold
    constrained: jax.Array  # i32[P]: `sizes`, 0 for hands that may hold every suit


def _hidden(state: BlobState, size: jax.Array) -> _Hidden:
    """What the mover knows, from only what it sees. `size` is T of this round."""
    seats = jnp.arange(state.bids.shape[0], dtype=jnp.int32)
    own = seats == state.current_player
    seen = _unpack(state.played).any(axis=0) | _unpack(state.hands[state.current_player])
    sizes = jnp.where(own, 0, size - _size(state.played))
    return _Hidden(
        cards=~seen,
        sizes=sizes,
        allowed=(state.voids[:, None] >> np.arange(SUITS, dtype=np.uint8)[None]) & 1 == 0,
        constrained=jnp.where(state.voids == 0, 0, sizes),
    )


def _slot_owners(sizes: jax.Array, num_slots: int) -> jax.Array:
    """bool[num_slots, P]: the owner of each slot, for consecutive hands of `sizes` (i32[P]); then nobody."""
    sizes = sizes[None]
    ends = jnp.cumsum(sizes, axis=1)
    slots = jnp.arange(num_slots, dtype=jnp.int32)[:, None]
    return (slots >= ends - sizes) & (slots < ends)


class _Cells(NamedTuple):
    """Cards of the first three suits that up to K slots can hold: cell 1 is none, cell 0 is impossible."""

    taken: np.ndarray  # i32[N, 3], by sum
    following: np.ndarray  # i32[N, 4]: the cell after one more card of a suit; cell 0 if the suit has run out
    level_sizes: tuple[int, ...]  # cells that can be reached with j = 0 .. K slots still to fill


@cache
def _cells(num_slots: int) -> _Cells:
    """The cells of K = `num_slots` slots."""
    taken = [tuple(cell) for cell in np.ndindex(*[min(num_slots, RANKS) + 1] * 3) if sum(cell) <= num_slots]
    taken.sort(key=sum)
    index = {cell: number for number, cell in enumerate(taken, start=1)}
    following = [[0] * SUITS]
    for number, (a, b, c) in enumerate(taken, start=1):
        nearby = [(a + 1, b, c), (a, b + 1, c), (a, b, c + 1)]
        following.append([*(index.get(cell, 0) for cell in nearby), number])
    sums = np.array([-1, *map(sum, taken)])
    return _Cells(
        taken=np.array([(0, 0, 0), *taken], np.int32),
        following=np.array(following, np.int32),
        level_sizes=tuple(int((sums <= num_slots - level).sum()) for level in range(num_slots + 1)),
    )


def _count_ways(hidden: _Hidden, num_slots: int) -> jax.Array:
    """f32[sum of level sizes]: per level j and cell, the ways to fill the last j constrained slots and the rest.

    Up to a factor: after the constrained slots, n free ones take r cards of each suit in n! / prod r! ways, and
    5^n / n! times that stays well within float32's range. K = `num_slots` is the largest possible number.
    """
    cells = _cells(num_slots)
    unseen = hidden.cards.reshape(SUITS, RANKS).sum(axis=1, dtype=jnp.int32)
    factor = 5.0 ** np.arange(RANKS + 1) / np.cumprod([1.0, *range(1, RANKS + 1)])
    factor = jnp.asarray(np.concatenate([np.zeros(RANKS + 1), factor]), jnp.float32)  # of -14 .. 13 cards
    left = unseen[:, None] - np.arange(RANKS + 1, dtype=np.int32)[None]
    per_suit = factor[left + RANKS + 1]  # [S, 14]: by number of cards taken
    taken_last = hidden.constrained.sum() - cells.taken.sum(axis=1, dtype=np.int32)
    possible = (taken_last >= 0) & (taken_last <= RANKS)
    last = jnp.where(possible, per_suit[3][jnp.clip(taken_last, 0, RANKS)], 0.0)
    first = per_suit[0][cells.taken[:, 0]] * per_suit[1][cells.taken[:, 1]] * per_suit[2][cells.taken[:, 2]]
    ways = [(first * last).at[0].set(0.0)]
    owners = _slot_owners(hidden.constrained, num_slots)
    allowed = owners.astype(jnp.float32) @ hidden.allowed.astype(jnp.float32)  # [K, S]
    for level in range(1, num_slots + 1):
        size = cells.level_sizes[level]
        after = [ways[-1][cells.following[:size, suit]] for suit in range(SUITS)]
        ways.append(jnp.matmul(allowed[level - 1], jnp.stack(after), precision="highest"))
    return jnp.concatenate(ways)


def _draw_suits(hidden: _Hidden, ways: jax.Array, max_cards: int, key: jax.Array) -> jax.Array:
    """i32[P, 4]: cards of each suit in every hidden hand; a hand has at most `max_cards`."""
    others = hidden.sizes.shape[0] - 1
    cells = _cells(others * (max_cards - 1))
    starts = np.cumsum([0, *cells.level_sizes[:-1]]).astype(np.int32)
    slots = np.arange(others * max_cards, dtype=np.int32)
    levels = hidden.constrained.sum() - slots  # constrained slots from this one on; 0 or less: a free slot
    free_owners = _slot_owners(hidden.sizes - hidden.constrained, len(slots))
    owners = jnp.where(
        (levels > 0)[:, None],
        _slot_owners(hidden.constrained, len(slots))[levels - 1],
        free_owners[-levels],
    )
    allowed = owners.astype(jnp.float32) @ hidden.allowed.astype(jnp.float32)
    unseen = hidden.cards.reshape(SUITS, RANKS).sum(axis=1).astype(jnp.float32)

    def draw(carry: tuple[jax.Array, jax.Array], slot: tuple[jax.Array, ...]) -> tuple[Any, jax.Array]:
        (cell, left), (level, suits, chance) = carry, slot
        following = jnp.asarray(cells.following)[cell]
        counted = suits * ways[jnp.asarray(starts)[level - 1] + following]
        up_to = jnp.cumsum(jnp.where(level > 0, counted, left))
        suit = jnp.argmax(up_to > chance * up_to[-1]).astype(jnp.int32)
        taken = np.arange(SUITS, dtype=np.int32) == suit
        return (following[suit], left - taken.astype(jnp.float32)), suit

    chances = jax.random.uniform(key, slots.shape, jnp.float32)
    _, suits = jax.lax.scan(draw, (jnp.int32(1), unseen), (levels, allowed, chances))
    of_suit = suits[:, None] == np.arange(SUITS, dtype=np.int32)[None]
    return (owners[:, :, None] & of_suit[:, None]).sum(axis=0, dtype=jnp.int32)


def _draw_cards(hidden: _Hidden, counts: jax.Array, key: jax.Array) -> jax.Array:
    """u32[P, 2]: random hidden hands with `counts` (i32[P, 4]) cards of each suit."""
    unseen = hidden.cards.reshape(1, SUITS, RANKS)
    rank = np.arange(RANKS, dtype=np.uint32)[None]
    lot = jax.random.bits(key, (SUITS, RANKS)) & ~np.uint32(15) | rank  # no ties
    before = lot[:, None] < lot[:, :, None]
    place = (unseen[:, :, None] & before[None]).sum(axis=-1, dtype=jnp.int32)  # among the unseen of the suit
    ends = jnp.cumsum(counts, axis=0)
    given = unseen & (place >= (ends - counts)[:, :, None]) & (place < ends[:, :, None])
    return _pack(given.reshape(-1, CARDS))


# Pictures and text of one state.


class _Seat(NamedTuple):
    """The shown information about a player."""

    label: str
    result: str
    hand: list[int]
    card: int  # on the table, -1 where none
    active: bool  # to move


def _seats(state: BlobState) -> list[_Seat]:
    """The players, as Python numbers and strings."""
    over = bool(state.terminated)
    hands = np.asarray(_unpack(state.hands))
    seats = []
    for player, (bid, tricks, card) in enumerate(
        zip(*(np.asarray(field).tolist() for field in (state.bids, state.tricks, state.trick)), strict=True)
    ):
        active = not over and player == int(state.current_player)
        role = " (dealer)" if player == int(state.dealer) else ""
        result = "no bid" if bid < 0 else f"bid {bid}, took {tricks}"
        label = f"{'▸' if active else ' '} player {player + 1}{role}"
        seats.append(_Seat(label, result, np.flatnonzero(hands[player]).tolist(), card, active))
    return seats


def _seats_for(state: BlobState, viewer: int) -> list[_Seat]:
    """The players, with the cards of all but `viewer` face down."""
    return [
        seat if place == viewer else seat._replace(hand=[FACE_DOWN] * len(seat.hand))
        for place, seat in enumerate(_seats(state))
    ]


def _headline(state: BlobState, num_rounds: int) -> str:
    """Trump, round, scores."""
    trump = "no trump" if int(state.trump) == NO_TRUMP else f"trump {SUIT_SIGNS[int(state.trump)]}"
    position = f"round {int(state.round) + 1} of {num_rounds}"
    scores = " ".join(str(score) for score in np.asarray(state.scores).tolist())
    return f"{trump}, {position}, scores {scores}{', over' if state.terminated else ''}"


def _card_name(card: int) -> str:
    return "??" if card == FACE_DOWN else RANK_SIGNS[card % RANKS] + SUIT_SIGNS[card // RANKS]


def _place(seat: int, column: int) -> tuple[int, int]:
    """The upper left corner of a hand's card in the picture."""
    return 250 + 28 * column, 35 + 38 * seat


def _draw(seats: list[_Seat], headline: str, max_cards: int) -> str:
    """SVG: `headline`, then one row per player with its hand and, after a gap, its card on the table."""
    width, height = 250 + 28 * max_cards + 44, 34 + 38 * len(seats)

    def words(x: int, y: int, text: str, style: str = 'fill="#f8fafc"') -> str:
        return f'<text x="{x}" y="{y}" {style} xml:space="preserve">{text}</text>'

    def picture(card: int, x: int, y: int) -> str:
        if card == FACE_DOWN:
            return f'<rect x="{x}" y="{y}" width="26" height="30" rx="3" fill="#1e3a8a" stroke="#f8fafc"/>'
        colour = "#dc2626" if card // RANKS in (1, 2) else "#0f172a"
        style = f'fill="{colour}" text-anchor="middle" font-weight="bold"'
        box = f'<rect x="{x}" y="{y}" width="26" height="30" rx="3" fill="#f8fafc"/>'
        return box + words(x + 13, y + 20, _card_name(card), style)

    parts = [words(8, 20, headline)]
    for row, seat in enumerate(seats):
        y = 32 + 38 * row
        if seat.active:
            parts.append(f'<rect x="2" y="{y}" width="{width - 4}" height="36" rx="5" fill="#166534"/>')
        parts.append(words(6, y + 23, seat.label) + words(140, y + 23, seat.result))
        parts += [picture(card, *_place(row, column)) for column, card in enumerate(seat.hand)]
        if seat.card >= 0:
            parts.append(picture(seat.card, width - 34, y + 3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13"><rect width="{width}" height="{height}" rx="8" fill="#15803d"/>'
        f"{''.join(parts)}</svg>"
    )
