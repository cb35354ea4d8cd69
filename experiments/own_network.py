"""Connect Four with a network, an optimiser and a loss that you write; then the analysis of its first move.

python experiments/own_network.py
python experiments/own_network.py RUN      in any folder and process, the analysis alone
"""

import sys

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


def train(**options):
    optimizer = optax.adam(optax.warmup_cosine_decay_schedule(0.0, 2e-3, 100, 5000))
    return jzero.train(
        "connect_four", network=network, optimizer=optimizer, algorithm=small_weights, **options
    )


if __name__ == "__main__":
    parts = {"network": network, "algorithm": small_weights}
    agent = jzero.load(sys.argv[1], **parts) if sys.argv[1:] else train(minutes=10)
    states = jzero.init_batch(agent.env, jax.random.key(0), 1)
    print("visits:", agent.analyse(states, jax.random.key(1), num_simulations=200).visits[0])
