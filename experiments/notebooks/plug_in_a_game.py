# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Plug in a game
#
# A game is a class with two numbers and three pure functions of one state. This one is Nim: there are 21 sticks, a move takes
# 1 to 3 of them, and the player who takes the last one wins. Perfect play leaves a multiple of 4, so we can check what the
# agent learns.

# %% [markdown]
# ## Set up
#
# In Colab, clone the repository first (`!git clone URL jzero`); Colab's JAX with CUDA is kept. Elsewhere, run
# `pip install -e ".[notebooks,play]"` in the clone.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("jzero") is None:
    places = [Path.cwd() / "jzero", Path.cwd(), *Path.cwd().parents]
    clone = next((place for place in places if (place / "experiments" / "connect_four.py").exists()), None)
    assert clone, "clone the repository of jzero here first"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{clone}"], check=True)
    sys.path[:0] = [str(clone), str(clone / "envs")]

import jax

from jzero.devices import set_up

set_up()  # every core of a CPU is a device
print(
    f"{jax.devices()[0].device_kind}: the rest took 4 minutes on two CPU cores busy with other work; a GPU is not measured"
)

# %%
from typing import NamedTuple

import jax.numpy as jnp

import jzero
from jzero.env import keep_finished


class State(NamedTuple):
    pile: jax.Array  # sticks left
    current_player: jax.Array  # i32[]
    legal_action_mask: jax.Array  # bool[3]
    rewards: jax.Array  # f32[2], of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]


class Nim:
    name, num_actions, num_players = "nim", 3, 2

    def init(self, key):
        return State(
            jnp.int32(21), jnp.int32(0), jnp.ones(3, bool), jnp.zeros(2), jnp.bool_(False), jnp.bool_(False)
        )

    def step(self, state, action, key):
        pile = state.pile - (action + 1)
        won = jnp.where(jnp.arange(2) == state.current_player, 1.0, -1.0)
        after = State(
            pile,
            1 - state.current_player,
            jnp.arange(3) < pile,
            jnp.where(pile == 0, won, 0.0),
            pile <= 0,
            jnp.bool_(False),
        )
        return keep_finished(state, after)

    def observe(self, state):
        return jax.nn.one_hot(state.pile, 22)


# %% [markdown]
# ## Is it right?
#
# `check_env` plays random games and reports violations of the protocol. It finds none here:

# %%
jzero.check_env(Nim())

# %% [markdown]
# ## Common mistakes
#
# Each class below changes one thing. Read the messages.


# %%
def message_of(function, argument, expected):
    message = ""
    try:
        function(argument)
    except ValueError as error:
        message = str(error)
    print(message, "\n")
    assert expected in message, f"expected: {expected}"


class IfOnAValue(Nim):
    def step(self, state, action, key):
        return state if action > 1 else super().step(state, action, key)


class AnotherDtype(Nim):
    def step(self, state, action, key):
        after = super().step(state, action, key)
        return after._replace(pile=after.pile / 1)


class ShapeOfAValue(Nim):
    def observe(self, state):
        return jnp.ones(state.pile)


class OneReward(Nim):
    def step(self, state, action, key):
        after = super().step(state, action, key)
        return after._replace(rewards=after.rewards[:1])


class NothingLegal(Nim):
    def step(self, state, action, key):
        after = super().step(state, action, key)
        return after._replace(legal_action_mask=jnp.zeros(3, bool))


class GoesOn(Nim):
    def step(self, state, action, key):
        return super().step(state._replace(terminated=jnp.bool_(False)), action, key)


class BothWin(Nim):
    def step(self, state, action, key):
        after = super().step(state, action, key)
        return after._replace(rewards=jnp.abs(after.rewards))


message_of(jzero.check_env, IfOnAValue(), "step(state, action, key) fails under jax.jit: TracerBool")
message_of(jzero.check_env, AnotherDtype(), "step turns the state's .pile from int32[] into float32[]")
message_of(jzero.check_env, ShapeOfAValue(), "observe(state) fails under jax.jit")
message_of(jzero.check_env, OneReward(), "step turns the state's .rewards from float32[2] into float32[1]")
message_of(jzero.check_env, NothingLegal(), "legal_action_mask is empty in an unfinished state")
message_of(jzero.check_env, GoesOn(), "stepping a finished state changes it")
message_of(jzero.check_env, BothWin(), "the two players' rewards do not sum to zero")

# %% [markdown]
# For an unknown name the message suggests similar names.

# %%
from importlib.util import find_spec

message_of(jzero.make, "conect_four", "did you mean 'connect_four'?")
if find_spec("pgx"):
    message_of(jzero.make, "pgx:otelo", "did you mean 'othello'?")

# %% [markdown]
# ## Train it
#
# A class in a file is `my_game:Nim`; one in this notebook is `__main__:Nim`. Sizes follow from random games. The measurement
# is a match against Monte-Carlo tree search with random rollouts.

# %%
from jzero.evaluate import strength
from jzero.run.cli import main
from jzero.run.presets import suited

result = main(
    "nim",
    suited("alphazero"),
    measure=strength.measure,
    argv=["--env", "__main__:Nim", "--minutes", "0.5", "--evaluate-every", "1000"],
)

# %% [markdown]
# ## What did it learn?
#
# The policy of the network, without search, for every pile. Perfect play takes `pile % 4` sticks; if that is 0, every move
# loses.

# %%
from jzero.storage.run_dir import RunDir

agent = jzero.load(RunDir.find("nim"))
piles = jnp.arange(1, 22)
start = jzero.init_batch(agent.env, jax.random.key(0), len(piles))
states = start._replace(pile=piles, legal_action_mask=jnp.arange(3) < piles[:, None])
policy, value = agent.evaluate(states)
right = 0
for pile, taken, worth in zip(
    piles.tolist(), (policy.argmax(axis=1) + 1).tolist(), value.tolist(), strict=True
):
    perfect = pile % 4
    right += perfect in (0, taken)
    print(f"{pile:2d} sticks: takes {taken}, perfect play {perfect or 'loses'}, value {worth:+.2f}")
print(f"{right} of {len(piles)} piles are played perfectly")

# %% [markdown]
# ## Look at a search
#
# Five sticks: taking one leaves a multiple of 4.

# %%
one = jax.tree.map(lambda leaf: leaf[4:5], states)
agent.analyse(one, jax.random.key(0), num_simulations=64).show()
