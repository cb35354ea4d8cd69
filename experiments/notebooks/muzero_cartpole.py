# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # MuZero on CartPole
#
# The agent knows neither the rules nor the physics: it learns a model and plans in it.

# %% [markdown]
# ## Set up
#
# In Colab, clone the repository first (`!git clone URL jzero`); Colab's JAX with CUDA is kept. Elsewhere, run
# `pip install -e ".[notebooks,play,envs]"` in the clone.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("jzero") is None:
    places = [Path.cwd() / "jzero", Path.cwd(), *Path.cwd().parents]
    clone = next((place for place in places if (place / "experiments" / "connect_four.py").exists()), None)
    assert clone, "clone the repository of jzero here first"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{clone}[envs]"], check=True)
    sys.path[:0] = [str(clone), str(clone / "envs")]

import jax

from jzero.devices import set_up

set_up()  # every core of a CPU is a device
print(
    f"{jax.devices()[0].device_kind}: the rest took 6 minutes on two CPU cores busy with other work; a GPU is not measured"
)

# %%
import json

import matplotlib.pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats

import jzero

set_matplotlib_formats("svg")

sys.path.append(str(Path(jzero.__file__).parents[1] / "experiments"))  # of the clone that is installed
from cartpole import FINAL, MEASURE, PRESETS

from jzero.run.cli import main
from jzero.storage.run_dir import RunDir, read_metrics

# %% [markdown]
# ## Train
#
# 16 games, Gumbel search with 16 simulations, a latent state of 64 numbers. The run ends as soon as the mean return of
# 100 episodes reaches 490 of 500.

# %%
strength = main("cartpole", PRESETS, measure=MEASURE, final=FINAL, argv=["--minutes", "4"])

# %% [markdown]
# ## How it went

# %%
path = RunDir.find("cartpole")
lines = read_metrics(path)
measured = [line for line in lines if line.get("strength") is not None]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
left.plot([line["positions"] for line in measured], [line["strength"] for line in measured], marker="o")
left.set(xlabel="environment steps", ylabel="mean return of 100 episodes")
for name in ("reward_loss", "value_loss", "policy_loss"):
    learned = [line for line in lines if name in line]
    right.plot([line["positions"] for line in learned], [line[name] for line in learned], label=name)
right.set(xlabel="environment steps", yscale="log")
right.legend()
figure.tight_layout()

# %%
print(json.loads((path / "result.json").read_text())["strength"]["name"])
print(f"{strength.value:.1f} [{strength.low:.1f}, {strength.high:.1f}]")

# %% [markdown]
# `python experiments/cartpole.py --algorithm muzero` (PUCT, 50 simulations) and `--algorithm efficientzero` train the other
# algorithms; `docs/learned_models.md` has every formula.

# %% [markdown]
# ## Watch an episode
#
# The position of the cart and the angle of the pole, step by step.

# %%
agent = jzero.load(path)
states = jzero.init_batch(agent.env, jax.random.key(7), 1)
seen = []
while not bool(states.terminated[0] | states.truncated[0]):
    seen.append(jax.device_get(jzero.observe_batch(agent.env, states))[0])
    actions = agent.act(states, jax.random.key(len(seen)), num_simulations=8)
    states = jzero.step_batch(agent.env, states, actions, jax.random.key(len(seen)))
figure, axes = plt.subplots(figsize=(6, 2.5))
axes.plot([step[0] for step in seen], label="position of the cart")
axes.plot([step[2] for step in seen], label="angle of the pole")
axes.set(xlabel="step")
axes.legend()
figure.tight_layout()
