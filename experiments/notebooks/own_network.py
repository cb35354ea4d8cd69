# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Own network and training script
#
# First pass your own network to `jzero.train`, then see a training script of 100 lines from the same parts.

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
    f"{jax.devices()[0].device_kind}: the rest took 3 minutes on two CPU cores busy with other work; a GPU is not measured"
)

# %%
import flax.linen as nn
import jax.numpy as jnp
import optax

import jzero
from jzero.evaluate.measures import share_not_lost
from jzero.networks import from_flax

# %% [markdown]
# ## A network
#
# Observations [B, 3, 3, 2] in; logits [B, 9] and values [B] for the player to move out.


# %%
class Net(nn.Module):
    actions: int

    @nn.compact
    def __call__(self, observation):
        x = observation.reshape(observation.shape[0], -1)
        for _ in range(2):
            x = nn.LayerNorm()(nn.relu(nn.Dense(128)(x)))
        return nn.Dense(self.actions)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


agent = jzero.train(
    "tic_tac_toe",
    network=lambda spec: from_flax(Net(spec.num_actions)),
    optimizer=optax.adam(1e-3),
    measure=share_not_lost(jzero.make("tic_tac_toe")),
    minutes=0.5,
    target=1.0,
)

# %% [markdown]
# ## A training script
#
# `experiments/own_training.py` combines the parts itself: one compiled function plays nine plies of 256 games, adds them to
# the replay and updates the network. Here is a loop over it.

# %%
import inspect
import runpy

clone = Path(jzero.__file__).parents[1]
script = runpy.run_path(str(clone / "experiments" / "own_training.py"))
print(inspect.cleandoc(script["iteration"].__wrapped__.__doc__))

key = jax.random.key(0)
state = jax.jit(script["init"])(key)
losses = []
for number in range(20):
    state, (_, loss) = script["iteration"](state, jax.random.fold_in(key, number))
    losses.append(float(loss.mean()))

# %%
import matplotlib.pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats

set_matplotlib_formats("svg")

figure, axes = plt.subplots(figsize=(5, 2.5))
axes.plot(losses)
axes.set(xlabel="iteration", ylabel="loss")
figure.tight_layout()

# %% [markdown]
# ## Play the first agent

# %%
try:
    board = agent.play()
except ImportError as error:
    board = error
board
