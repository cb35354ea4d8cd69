"""Random games that end after a few plies, as tables; and what their positions are worth, by going backwards.

Axes: S states, A actions.
"""

import numpy as np

from tests.helpers.search_tables import Tables


def finite_game(
    seed: int,
    num_actions: int,
    num_plies: int,
    *,
    width: int = 200,
    discounts: tuple[float, ...] = (-1.0, -1.0, -1.0, 1.0),
    share_terminal: float = 0.15,
    share_illegal: float = 0.2,
) -> Tables:
    """Every ply has `width` states, whose actions lead to states of the next or to an end worth -1, 0 or 1."""
    rng = np.random.default_rng(seed)
    num_states = num_plies * width + 1
    shape, ply = (num_states, num_actions), np.arange(num_states)[:, None] // width
    last = num_states - 1
    ends = (rng.random(shape) < share_terminal) | (ply >= num_plies - 1)
    illegal = rng.random(shape) < share_illegal
    illegal[np.arange(num_states), rng.integers(num_actions, size=num_states)] = False
    successor = (ply + 1) * width + rng.integers(width, size=shape)
    return Tables(
        successor=np.where(ends, last, successor).astype(np.int32),
        reward=np.where(ends, rng.integers(-1, 2, size=shape), 0).astype(np.float32),
        discount=np.where(ends, 0, rng.choice(discounts, shape)).astype(np.float32),
        prior_logits=np.where(illegal, -np.inf, 1.5 * rng.standard_normal(shape)).astype(np.float32),
        value=rng.uniform(-1, 1, num_states).astype(np.float32),
    )


def action_values(tables: Tables) -> np.ndarray:
    """f64[S, A]: what each action is worth with perfect play, -inf where it is illegal."""
    found = np.full(tables.reward.shape, -np.inf)
    for state in reversed(range(len(found))):
        for action, logit in enumerate(tables.prior_logits[state]):
            if logit > -np.inf:
                discount, after = tables.discount[state, action], tables.successor[state, action]
                rest = float(discount) * found[after].max() if discount else 0.0
                found[state, action] = tables.reward[state, action] + rest
    return found
