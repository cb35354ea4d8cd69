"""Networks that stand in for a learned model's, so that what they say is known. Axes: B rows, A actions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.models.learned import LearnedModel
from jzero.networks import Support, learned_network


class Scripted(NamedTuple):
    """Its parameters are what it says: tables over (number of the row, step). A latent state is that pair.

    The observation is the row's number. A row's step after the last one is the last one.
    """

    prefix_width: int = 0
    chance_codes: int = 0
    projection_width: int = 1
    init = None

    def apply(self, params: Any, *args: Any, method: str) -> Any:
        return getattr(self, method)(params, *args)

    def represent(self, params, observation):
        rows = observation.astype(jnp.float32)
        return jnp.stack([rows, jnp.zeros_like(rows)], axis=1)

    def predict(self, params, latent):
        row, step = _numbers(latent)
        return params["policy"][row, step], params["value"][row, step]

    def step(self, params, latent, memory, action):
        row, step = _numbers(latent)
        return latent + jnp.array([0.0, 1.0]), memory, params["reward"][row, step]

    def project(self, params, latent):
        return params["projection"][_numbers(latent)]

    def predict_projection(self, params, projection):
        return projection @ params["predictor"]

    def no_memory(self, rows):
        return ()


class Tabular(NamedTuple):
    """The exact model of a game given by tables. A latent state is the number of a state.

    With a value prefix the memory is the sum of rewards, from 0 again where it was reset.
    """

    successor: np.ndarray  # i32[S, A]
    reward: np.ndarray  # f32[S, A]
    prior_logits: np.ndarray  # f32[S, A]
    value: np.ndarray  # f32[S]
    value_support: Support
    reward_support: Support
    prefix_width: int = 0
    chance_codes: int = 0
    projection_width: int = 0
    init = None

    def apply(self, params: Any, *args: Any, method: str) -> Any:
        return getattr(self, method)(*args)

    def represent(self, observation):
        return observation.astype(jnp.float32)[:, None]

    def predict(self, latent):
        state = latent[:, 0].astype(jnp.int32)
        value = jnp.asarray(self.value)[state]
        return jnp.asarray(self.prior_logits)[state], _logits(self.value_support, value)

    def step(self, latent, memory, action):
        state = latent[:, 0].astype(jnp.int32)
        reward = jnp.asarray(self.reward)[state, action]
        if self.prefix_width:
            reward = memory[0][:, 0] + reward
            memory = (reward[:, None], memory[1])
        after = jnp.asarray(self.successor)[state, action].astype(jnp.float32)[:, None]
        return after, memory, _logits(self.reward_support, reward)

    def no_memory(self, rows):
        zeros = jnp.zeros((rows, 1))
        return (zeros, zeros) if self.prefix_width else ()


def tabular_model(
    successor: np.ndarray,
    reward: np.ndarray,
    *,
    discount: float,
    prior_logits: np.ndarray | None = None,
    value: np.ndarray | None = None,
    prefix: bool = False,
    horizon: int = 5,
) -> LearnedModel:
    """A `LearnedModel` that knows the game; without a value it says 0, without priors all actions are equal."""
    value = np.zeros(len(reward), np.float32) if value is None else value
    prior_logits = np.zeros_like(reward) if prior_logits is None else prior_logits
    supports = Support(100.0, 2001), Support(100.0, 2001)
    network = Tabular(successor, reward, prior_logits, value, *supports, prefix_width=int(prefix))
    return LearnedModel(learned_network(network), *supports, prefix_horizon=horizon, discount=discount)


def _numbers(latent: jax.Array) -> tuple[jax.Array, jax.Array]:
    return latent[:, 0].astype(jnp.int32), latent[:, 1].astype(jnp.int32)


def _logits(support: Support, value: jax.Array) -> jax.Array:
    return jnp.log(support.two_hot(value))
