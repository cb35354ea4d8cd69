"""Opponents for Blob: a rule-based player, and search with random rollouts in several worlds.

    python -m jzero match runs/blob/20261121-101500 experiments.players.blob:rule_based
    python -m jzero match runs/blob/20261121-101500 "experiments.players.blob:rollouts?simulations=10&worlds=4"

Run these from the repository's top folder. A return is points / `env.points`. Neither player sees hidden cards: the
rules read `env.observe` only, the search samples the cards of its worlds.

Axes: B states, R seats relative to the mover, T cards of the largest hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jzero_envs.blob import CARDS, RANKS, SUIT_OF, SUITS, Blob, BlobObservation

from jzero.env import observe_batch
from jzero.evaluate.rollouts import rollout_player
from jzero.evaluate.turns import Player, as_player
from jzero.models.plan import SearchSettings

Act = Callable[[Any, jax.Array], jax.Array]  # states [B], key -> actions i32[B]

RUFF = 0.3  # chance that a trump takes a trick which its rank alone would not
LAZY = 0.8  # chance that a player who wants no more tricks beats a card when it can


def rule_based(env: Blob) -> Player:
    """The player that follows `rules`."""
    return as_player(rules(env))


def rollouts(env: Blob, simulations: int = 10, worlds: int = 4) -> Player:
    """Search without a network, `simulations` per world: the value of a new node is that of one random round."""
    search = SearchSettings(
        policy="gumbel", num_simulations=simulations, worlds=worlds, rescale_values=False, value_scale=0.5
    )
    return rollout_player(env, search, simulations)


def rules(env: Blob) -> Act:
    """For use inside jit: bids with the highest utility, and plays the card that makes the bid most likely.

    Each card in the hand counts as a coin that takes a trick with some chance. The chance follows from the unseen
    cards, the voids shown and the players who still want tricks; for the card played now, from those yet to play.
    """

    def act(states: Any, key: jax.Array) -> jax.Array:
        del key
        utilities = jax.vmap(lambda view: _utilities(view, env.max_cards))(observe_batch(env, states))
        return jnp.argmax(jnp.where(states.legal_action_mask, utilities, -jnp.inf), axis=1).astype(jnp.int32)

    return act


def _utilities(view: BlobObservation, max_cards: int) -> jax.Array:
    """f32[66]: the value of each action."""
    now, later = _chances(view, max_cards)
    hand = view.cards[:, 0]
    held = jnp.argsort(-hand)[:max_cards]  # the cards in the hand first
    coins = (hand * later)[held]
    bids = jnp.arange(RANKS + 1)
    worth = jnp.zeros(RANKS + 1).at[: max_cards + 1].set(_heads(coins)) * (10 + bids)
    wanted = jnp.round(view.players[0, 3] * max_cards).astype(jnp.int32)
    left = jnp.round(view.table[7] * max_cards).astype(jnp.int32)
    played = jnp.where(np.eye(max_cards, dtype=bool), now[held][:, None], coins)  # [card played, coin]
    made = jax.vmap(_heads)(played)[:, jnp.clip(wanted, 0, max_cards)]
    lost = (wanted < 0) | (wanted > left)  # then take what others want
    value = jnp.where(lost, now[held], made) - 1e-4 * later[held]
    return jnp.concatenate([jnp.zeros(CARDS).at[held].set(value), worth])


def _heads(coins: jax.Array) -> jax.Array:
    """f32[T + 1]: the chance of each number of heads, from the chance of each coin (f32[T])."""
    none = jnp.zeros(coins.shape[0] + 1).at[0].set(1.0)

    def toss(chances: jax.Array, coin: jax.Array) -> tuple[jax.Array, None]:
        return chances * (1 - coin) + jnp.roll(chances, 1) * coin, None

    return jax.lax.scan(toss, none, coins)[0]


def _chances(view: BlobObservation, max_cards: int) -> tuple[jax.Array, jax.Array]:
    """f32[52] twice: the chance that each card takes a trick if played now, and if kept for later."""
    seats = view.players.shape[0]
    hand, trump, led, beats, higher = (view.cards[:, column] for column in (0, 2, 3, 5, 6))
    played, on_table = (
        view.cards[:, 7:].sum(axis=1),
        view.cards[:, 7 + seats + 1 :].sum(axis=0),
    )  # [52], [R - 1]
    unseen = 1 - hand - played
    others = view.players[1:]
    held = jnp.round(view.table[7] * max_cards) - on_table
    void = others[:, 10:14]

    def holds(number: jax.Array) -> jax.Array:
        """[R - 1, ...]: the chance that a hand has one of `number` [...] unseen cards."""
        share = jnp.minimum(number / jnp.maximum(unseen.sum(), 1), 1)
        return 1 - (1 - share) ** held.reshape(-1, *[1] * number.ndim)

    in_suit = unseen.reshape(SUITS, RANKS).sum(axis=1)
    has_suit = jnp.where(void > 0, 0.0, holds(in_suit))  # [R - 1, S]
    has_higher = jnp.where(void[:, SUIT_OF] > 0, 0.0, holds(higher * 12))  # [R - 1, C]
    trump_suit = view.table[:SUITS]
    has_trump = has_suit @ trump_suit
    ruffs = (1 - has_suit) * (1 - trump_suit) * has_trump[:, None]
    wants = (others[:, 1] == 0) | (others[:, 3] > 0)
    eager = jnp.where(wants, 1.0, LAZY)[:, None]
    beaten = eager * jnp.minimum(has_higher + ruffs[:, SUIT_OF], 1)  # if the card or its suit is led
    later = (1 - beaten).prod(axis=0)
    some_led = led.any()
    led_suit = led.reshape(SUITS, RANKS)[:, 0]
    ruffing = (trump > 0) & some_led & (led == 0)
    overruffed = eager * (1 - has_suit @ led_suit)[:, None] * has_higher
    to_act = others[:, 8:9] > 0
    now = jnp.where(to_act, 1 - jnp.where(ruffing, overruffed, beaten), 1.0).prod(axis=0)
    return jnp.where(some_led, beats, 1.0) * now, 1 - (1 - later) * (1 - RUFF * trump)
