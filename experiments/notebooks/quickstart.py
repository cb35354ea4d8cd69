# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Quickstart: train, watch, play
#
# Two minutes on a CPU. From a clone of the repository: `pip install -e ".[notebooks]"`, and start Jupyter in its top
# folder. On Colab, first run a cell with `!git clone` of the repository, `%cd` into it and `!pip install -e .`.

# %%
import jax
from IPython.display import SVG, display

import jzero
from jzero.evaluate.measures import share_not_lost
from jzero.run.cli import main
from jzero.run.presets import suited

# %% [markdown]
# ## Train
#
# Half a minute of AlphaZero. 512 games of tic-tac-toe advance together as one batch; the options are those of
# `python experiments/alphazero.py`. The last line is a proof: the trained agent is played against every possible
# reply in both seats.

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
# `jzero.load` gives the agent of a run's directory. It plays batches of states: here one game against itself.

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
# ## Play
#
# You are first. Cells are numbered 0 to 8 from the top left: change the moves and run the cell again.

# %%
your_moves = [0, 1, 5]

states = jzero.init_batch(env, jax.random.key(0), 1)
for move in your_moves:
    if bool(states.terminated[0]) or not bool(states.legal_action_mask[0, move]):
        break
    states = jzero.step_batch(env, states, jax.numpy.array([move]), jax.random.key(0))
    if not bool(states.terminated[0]):
        reply = agent.act(states, jax.random.key(0), num_simulations=64)
        states = jzero.step_batch(env, states, reply, jax.random.key(0))
show(states)
print("the game is over" if bool(states.terminated[0]) else "your turn")
