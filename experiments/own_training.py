"""A training script from jzero's parts: tic-tac-toe in one compiled function, with a user's network.

    python experiments/own_training.py

About a minute on two CPU cores. The last line is a proof: the trained agent plays against every reply in both
seats.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jzero
from jzero.algorithms.alphazero import AlphaZeroSettings
from jzero.evaluate.exact import prove_never_loses
from jzero.metrics import read
from jzero.models.plan import SearchSettings
from jzero.networks import from_flax
from jzero.replay import Replay, add, init_replay
from jzero.self_play import Games, SelfPlaySettings, self_play, start_games

UPDATES, BATCH_SIZE, RING = 16, 512, 288


class Net(nn.Module):
    """Policy and value by two hidden layers."""

    actions: int

    @nn.compact
    def __call__(self, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = observation.reshape(observation.shape[0], -1)
        for _ in range(2):
            x = nn.LayerNorm()(nn.relu(nn.Dense(128)(x)))
        return nn.Dense(self.actions)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


env = jzero.make("tic_tac_toe")
spec = jzero.describe(env)
search = SearchSettings(num_simulations=32)
play_settings = SelfPlaySettings(games=256, plies=9, opening_plies=4)
algorithm = jzero.alphazero(spec, from_flax(Net(spec.num_actions)), AlphaZeroSettings(search=search))
optimizer = optax.adamw(1e-3)


class State(NamedTuple):
    """The training state."""

    params: Any
    average: Any  # of the weights: this plays
    opt_state: Any
    games: Games
    replay: Replay


def init(key: jax.Array) -> State:
    """New weights, new games, an empty replay."""
    params = algorithm.init(key)
    games = start_games(env, play_settings, key, play_settings.games)
    shapes = jax.eval_shape(lambda: play(params, key, games)[1])
    one_ply = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), shapes)
    return State(params, params, optimizer.init(params), games, init_replay(one_ply, RING))


play = functools.partial(
    self_play, env, algorithm.model, algorithm.planner, play_settings, record=algorithm.record
)


def update(state: State, key: jax.Array) -> tuple[State, jax.Array]:
    """One step of the optimiser."""
    batch_key, loss_key = jax.random.split(key)
    replay, batch = algorithm.batch(state.average, state.replay, batch_key, BATCH_SIZE)
    (loss, _), grads = jax.value_and_grad(algorithm.loss, has_aux=True)(state.params, batch, loss_key)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = optax.incremental_update(params, state.average, 0.02)
    return State(params, average, opt_state, state.games, replay), loss


@functools.partial(jax.jit, donate_argnums=0)
def iteration(state: State, key: jax.Array) -> tuple[State, tuple]:
    """Nine plies of all games, then the updates."""
    play_key, learn_key = jax.random.split(key)
    games, transitions, metrics = play(state.average, play_key, state.games)
    replay = add(state.replay, transitions, algorithm.targets)
    state = state._replace(games=games, replay=replay)
    state, losses = jax.lax.scan(update, state, jax.random.split(learn_key, UPDATES))
    return state, (metrics, losses)


def main(iterations: int = 200) -> int:
    """Trains until no game is lost; returns the games lost at the end."""
    key = jax.random.key(0)
    state = jax.jit(init)(key)
    lost = -1
    for number in range(1, iterations + 1):
        state, (metrics, losses) = iteration(state, jax.random.fold_in(key, number))
        if number % 20:
            continue
        agent = jzero.Agent(env, algorithm.model, state.average, search)
        proof = prove_never_loses(env, lambda states, agent=agent: agent.act(states, key))
        lost = proof.losses
        length = read(metrics)["game_length"]
        print(f"iteration {number}: loss {losses.mean():.3f}, games of {length:.1f} plies, {lost} games lost")
        if not lost:
            break
    print(f"against every reply in both seats: {proof.wins} won, {proof.draws} drawn, {proof.losses} lost")
    return lost


if __name__ == "__main__":
    main()
