# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Hidden cards
#
# Blob (Oh Hell) with three players and three cards: bid how many tricks you will take, then take exactly that many. A search
# from the true state would see the other hands; this one searches several worlds that agree with what its player has seen.

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
    f"{jax.devices()[0].device_kind}: the rest took 11 minutes on two CPU cores busy with other work; a GPU is not measured"
)

# %%
from IPython.display import SVG, display

import jzero

env = jzero.make("blob?players=3&cards=3")
state = env.init(jax.random.key(3))

# %% [markdown]
# ## What a player sees
#
# The first picture shows all cards, the second what the player to move may see.

# %%
display(SVG(env.svg(state)), SVG(env.svg_for(state, int(state.current_player))))

# %% [markdown]
# ## Worlds
#
# `resample` draws new hidden cards that agree with everything seen: the player's own hand stays, the others change.

# %%
for seed in range(2):
    display(SVG(env.svg(env.resample(state, jax.random.key(seed)))))

# %% [markdown]
# ## Train
#
# Four worlds per move. The measurement is the return minus that of tree search with 100 random rollouts at the same table,
# which one minute of training does not yet reach.

# %%
from jzero.evaluate import strength

agent = jzero.train(
    "blob?players=3&cards=3",
    minutes=1,
    cut_at_random_moves=False,
    measure=strength.measure(env),
)

# %% [markdown]
# ## What it thinks of its bid
#
# Values are means over the worlds. Actions from 52 on are bids.

# %%
states = jax.tree.map(lambda leaf: leaf[None], state)
agent.analyse(states, jax.random.key(0), num_simulations=32).show()
