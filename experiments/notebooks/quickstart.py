# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Quickstart: train, watch, play
#
# Train an agent for tic-tac-toe, prove that it cannot lose, and play against it in a cell.

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
    f"{jax.devices()[0].device_kind}: the rest took 5 minutes on two CPU cores busy with other work; a GPU is not measured"
)

# %%
from IPython.display import SVG, display

import jzero
from jzero.evaluate.measures import share_not_lost
from jzero.run.cli import main
from jzero.run.presets import suited

# %% [markdown]
# ## Train
#
# Half a minute of AlphaZero. 512 games of tic-tac-toe run side by side as one batch; the options are those of
# `python experiments/alphazero.py`. The last line is a proof: the trained agent plays both seats against every possible
# reply.

# %%
strength = main(
    "notebook",
    suited("alphazero"),
    measure=share_not_lost,
    argv=["--env", "tic_tac_toe", "--minutes", "0.5", "--evaluate-every", "15", "--target", "1"],
)
strength

# %% [markdown]
# ## Watch
#
# `jzero.load` returns the agent of a run's directory. It acts on batches of states; here it plays one game against itself.

# %%
from jzero.storage.run_dir import RunDir

agent = jzero.load(RunDir.find("notebook"))
env = agent.env
states = jzero.init_batch(env, jax.random.key(0), 1)


def show(states):
    display(SVG(env.svg(jax.tree.map(lambda x: x[0], states))))


for ply in range(9):
    if bool(states.terminated[0]):
        break
    actions = agent.act(states, jax.random.key(ply), num_simulations=32)
    states = jzero.step_batch(env, states, actions, jax.random.key(ply))
show(states)

# %% [markdown]
# ## Look at its search
#
# Bars for prior, visits and value, the expected line, and a tree that unfolds, for the first position and for one after two
# moves.

# %%
states = jzero.init_batch(env, jax.random.key(0), 2)
moves = jax.numpy.array([4, 0])
states = jzero.step_batch(env, states, moves, jax.random.key(0))
agent.analyse(states, jax.random.key(1), num_simulations=64).show()

# %% [markdown]
# ## Play
#
# Click a cell of the board. Without the extra `play` a message says what to install.

# %%
try:
    board = agent.play()
except ImportError as error:
    board = error
board
