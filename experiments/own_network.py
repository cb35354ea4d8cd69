"""Connect Four with a network, an optimiser and a loss that you write.

python experiments/own_network.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jzero
from jzero.networks import from_flax


class Net(nn.Module):
    actions: int

    @nn.compact
    def __call__(self, observation):
        x = observation.reshape(observation.shape[0], -1)
        for _ in range(3):
            x = nn.LayerNorm()(nn.relu(nn.Dense(256)(x)))
        return nn.Dense(self.actions)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


def network(spec):
    return from_flax(Net(spec.num_actions))


def small_weights(spec, network, settings):
    """AlphaZero with another loss, which penalises large weights."""
    algorithm = jzero.alphazero(spec, network, settings)

    def loss(params, batch, key):
        total, rest = algorithm.loss(params, batch, key)
        return total + 1e-5 * sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)), rest

    return algorithm._replace(loss=loss)


if __name__ == "__main__":
    schedule = optax.warmup_cosine_decay_schedule(0.0, 2e-3, 100, 5000)
    jzero.train(
        "connect_four", network=network, optimizer=optax.adam(schedule), algorithm=small_weights, minutes=10
    )
