"""Blob by its rules, slow and obvious, and all deals that a player may think possible.

A card is a (suit, rank) with suits 0..3 (spades, hearts, clubs, diamonds) and ranks 2..14. Players are seats.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, product

Card = tuple[int, int]
DECK: list[Card] = list(product(range(4), range(2, 15)))


def card_action(card: Card) -> int:
    return DECK.index(card)


def beats(card: Card, other: Card, trump: int) -> bool:
    """Whether `card`, played after `other`, takes the trick from it."""
    if card[0] == other[0]:
        return card[1] > other[1]
    return card[0] == trump


@dataclass
class Round:
    """One round; `trump` is a suit or 4 for none."""

    hands: list[list[Card]]
    dealer: int
    trump: int
    bids: dict[int, int] = field(default_factory=dict)
    tricks: list[list[tuple[int, Card]]] = field(default_factory=list)  # (seat, card) in order of play

    def __post_init__(self) -> None:
        self.hands = [sorted(hand) for hand in self.hands]
        self.size = len(self.hands[0])
        self.players = len(self.hands)

    def taker(self, trick: list[tuple[int, Card]]) -> int:
        best_seat, best = trick[0]
        for seat, card in trick[1:]:
            if beats(card, best, self.trump):
                best_seat, best = seat, card
        return best_seat

    def open_trick(self) -> list[tuple[int, Card]]:
        """The cards on the table."""
        last = self.tricks[-1] if self.tricks else []
        return last if len(last) < self.players else []

    def taken(self) -> list[int]:
        """Tricks by seat."""
        takers = [self.taker(trick) for trick in self.tricks if len(trick) == self.players]
        return [takers.count(seat) for seat in range(self.players)]

    def is_over(self) -> bool:
        return not any(self.hands) and len(self.bids) == self.players

    def mover(self) -> int:
        if len(self.bids) < self.players:
            return (self.dealer + 1 + len(self.bids)) % self.players
        trick = self.open_trick()
        if trick:
            return (trick[-1][0] + 1) % self.players
        return self.taker(self.tricks[-1]) if self.tricks else (self.dealer + 1) % self.players

    def legal_actions(self) -> list[int]:
        if self.is_over():
            return []
        if len(self.bids) < self.players:
            bids = list(range(self.size + 1))
            if self.mover() == self.dealer:
                bids = [bid for bid in bids if sum(self.bids.values()) + bid != self.size]
            return [52 + bid for bid in bids]
        hand, trick = self.hands[self.mover()], self.open_trick()
        following = [card for card in hand if trick and card[0] == trick[0][1][0]]
        return [card_action(card) for card in following or hand]

    def apply_action(self, action: int) -> None:
        if action not in self.legal_actions():
            raise ValueError(f"action {action} is illegal")
        seat = self.mover()
        if action >= 52:
            self.bids[seat] = action - 52
            return
        if not self.open_trick():
            self.tricks.append([])
        self.tricks[-1].append((seat, DECK[action]))
        self.hands[seat].remove(DECK[action])

    def scores(self) -> list[int]:
        """What the round brought everyone; zeros while it lasts."""
        if not self.is_over():
            return [0] * self.players
        return [
            10 + self.bids[seat] if self.bids[seat] == tricks else 0
            for seat, tricks in enumerate(self.taken())
        ]

    def voids(self) -> list[set[int]]:
        """Suits that each seat has shown not to have."""
        shown = [set() for _ in self.hands]
        for trick in self.tricks:
            led = trick[0][1][0]
            for seat, card in trick[1:]:
                if card[0] != led:
                    shown[seat].add(led)
        return shown

    def consistent_deals(self) -> Iterator[tuple[tuple[Card, ...], ...]]:
        """Every way the hands may lie as far as the mover knows, its own hand included; by seat, sorted."""
        mover = self.mover()
        seen = set(self.hands[mover]) | {card for trick in self.tricks for _, card in trick}
        voids = self.voids()

        def deal(seat: int, unseen: list[Card]) -> Iterator[tuple[tuple[Card, ...], ...]]:
            if seat == self.players:
                yield ()
                return
            if seat == mover:
                for rest in deal(seat + 1, unseen):
                    yield (tuple(self.hands[mover]), *rest)
                return
            possible = [card for card in unseen if card[0] not in voids[seat]]
            for hand in combinations(possible, len(self.hands[seat])):
                left = [card for card in unseen if card not in hand]
                for rest in deal(seat + 1, left):
                    yield (hand, *rest)

        yield from deal(0, [card for card in DECK if card not in seen])
