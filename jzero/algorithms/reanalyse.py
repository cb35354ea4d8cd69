"""Reanalyse: stored positions are searched again with the current weights before they are trained on.

Source: MuZero Reanalyse (Schrittwieser et al. 2020, appendix H; 2021).

Axes: N plies that were searched again.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jzero.env import where_rows
from jzero.models.plan import Plan
from jzero.record import pack_policy
from jzero.replay import Replay


def number_searched(share: float, num_samples: int) -> int:
    """Number of samples of a batch that are searched again: at least one if `share` is not 0."""
    return max(1, round(share * num_samples)) if share else 0


def write_back(replay: Replay, age: jax.Array, lane: jax.Array, found: Plan) -> Replay:
    """The ring, with the policies and values that a search found for the plies of these ages and lanes, i32[N].

    A ply that had a fast search gets a policy target. The Q-value, from which a truncated game bootstraps, becomes
    that of the stored action if the search tried it, else the root value. With continuous actions a policy is over
    newly sampled candidates, which replace the stored ones.
    """
    rows, plies = replay.rows(age), replay.plies
    # A ply may be in the batch twice: all that is written of it must come from one search.
    same = (age[:, None] == age[None]) & (lane[:, None] == lane[None])
    last = jnp.max(jnp.where(same, jnp.arange(age.size, dtype=jnp.int32)[None], 0), axis=1)
    policy, value, qvalue, candidates = jax.tree.map(
        lambda x: x[last],
        (pack_policy(found.policy), found.value, _of_taken(replay, age, lane, found), found.candidates),
    )

    def write(ring: jax.Array, new: jax.Array) -> jax.Array:
        return ring.at[rows, lane].set(new)

    return replay._replace(
        plies=plies._replace(
            policy=jax.tree.map(write, plies.policy, policy),
            policy_weight=plies.policy_weight.at[rows, lane].set(1.0),
            value=write(plies.value, value),
            qvalue=write(plies.qvalue, qvalue),
            candidates=jax.tree.map(write, plies.candidates, candidates),
        )
    )


def _of_taken(replay: Replay, age: jax.Array, lane: jax.Array, found: Plan) -> jax.Array:
    """f32[N] or f32[N, P]: the search's Q-values of the stored actions."""
    if not isinstance(found.candidates, tuple):  # continuous: the search did not see the stored actions
        return found.value
    plies, action = jnp.arange(age.size), replay.plies.action[replay.rows(age), lane]
    return where_rows(found.visits[plies, action] > 0, found.qvalues[plies, action], found.value)
