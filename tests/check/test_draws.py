"""Which parts of an initial state are drawn apart from each other."""

import jax
import jax.numpy as jnp
import pytest

from jzero.check.draws import apart


def split(key):
    one, two = jax.random.split(key)
    return one, two, jax.random.bits(one), jax.random.uniform(two), jnp.zeros(2)


def same_draw_twice(key):
    return jax.random.randint(key, (2,), 0, 9), jax.random.randint(key, (2,), 0, 9) ** 2


def derived(key):
    cards = jax.random.permutation(key, 8)
    return (
        cards[:4],
        jnp.sum(cards),
        jax.random.uniform(jax.random.fold_in(key, cards[0])),
        jax.random.bits(key),
    )


def seeds(key):
    bits = jax.random.bits(key)
    return key, bits, jax.random.uniform(key), jax.random.key_data(key), bits % 6


def raw_keys(key):
    one, two = jax.random.split(jax.random.key_data(key))  # keys of the old kind
    return one, jax.random.uniform(two), jax.random.bernoulli(one, shape=(3,))


def a_loop(key):
    def again(now):
        return jax.random.split(now[0])[0], jax.random.uniform(now[0])

    _, number = jax.lax.while_loop(lambda now: now[1] < 0.5, again, (key, 0.0))
    seed = jax.random.bits(key)
    return number, seed, jax.random.uniform(jax.random.key(seed)), jax.jit(jax.random.bits)(key) + 1.0


@pytest.mark.parametrize(
    ("init", "groups"),
    [
        (lambda key: jnp.zeros(3), []),
        (split, [[0], [1], [2], [3]]),
        (same_draw_twice, [[0, 1]]),
        (derived, [[0, 1, 2], [3]]),
        (raw_keys, [[0], [1], [2]]),
        (seeds, [[0], [1], [2, 4], [3]]),
        (a_loop, [[0], [1], [2, 3]]),
    ],
)
def test_leaves_that_share_a_draw_are_together(init, groups):
    assert sorted(map(sorted, apart(init))) == groups
