"""The same as own_network.py with a network of equinox: python experiments/own_equinox_network.py [RUN]"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import jzero
from jzero.networks import from_equinox


class Net(eqx.Module):
    body: eqx.nn.MLP

    def __init__(self, features, actions, key):
        self.body = eqx.nn.MLP(features, actions + 1, 256, 3, key=key)

    def __call__(self, observation):
        x = self.body(observation.ravel())
        return x[:-1], jnp.tanh(x[-1])


def network(spec):
    features = spec.observed(jax.random.key(0)).size
    return from_equinox(lambda key: Net(features, spec.num_actions, key))


def train(**options):
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, 5000))
    return jzero.train("connect_four", network=network, optimizer=optimizer, **options)


if __name__ == "__main__":
    agent = jzero.load(sys.argv[1], network=network) if sys.argv[1:] else train(minutes=10)
    states = jzero.init_batch(agent.env, jax.random.key(0), 1)
    print("visits:", agent.analyse(states, jax.random.key(1), num_simulations=200).visits[0])
