# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Reading a report
#
# A run writes `report.html`, which opens offline, and `metrics.jsonl`, one line per iteration. Here is a minute of Connect
# Four, and what to look at.

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
import matplotlib.pyplot as plt
from IPython.display import SVG, display
from matplotlib_inline.backend_inline import set_matplotlib_formats

import jzero

set_matplotlib_formats("svg")

sys.path.append(str(Path(jzero.__file__).parents[1] / "experiments"))  # of the clone that is installed
from connect_four import MEASURE, PRESET

from jzero.run.cli import main
from jzero.storage.run_dir import RunDir, read_metrics

strength = main(
    "report", PRESET, measure=MEASURE, argv=["--minutes", "1", "--games", "256", "--evaluate-every", "20"]
)
path = RunDir.find("report")
lines = read_metrics(path)

# %% [markdown]
# ## First: strength
#
# It is measured with an exact solver's verdicts on 1,000 positions in which some move loses value. A random player keeps the
# value in 40 %, an untrained network with this search in 61 %. If this does not rise, nothing else matters.

# %%
for line in lines:
    if line.get("strength") is not None:
        low, high = line["strength_low"], line["strength_high"]
        print(f"{line['seconds']:5.0f} s  {line['strength']:.3f} [{low:.3f}, {high:.3f}]")

# %% [markdown]
# ## Then: what the search adds
#
# `policy_kl_to_prior` is how far the search moves the network's policy. It must stay above 0, or there is nothing to learn.
# `policy_entropy` falls as the agent becomes more certain; at 0 all games would be the same.

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 3))
for axis, names in zip(
    axes,
    (["policy_loss", "value_loss"], ["policy_kl_to_prior", "policy_entropy"], ["game_length"]),
    strict=True,
):
    for name in names:
        known = [line for line in lines if name in line]
        axis.plot([line["seconds"] for line in known], [line[name] for line in known], label=name)
    axis.set(xlabel="seconds")
    axis.legend()
figure.tight_layout()

# %% [markdown]
# `policy_loss` is the divergence of the network's policy from the search's: it falls quickly and then follows the search.
# `value_loss` compares values with the results of the agent's own games: it may rise as the games get better. Both show that
# learning works, not that the agent is strong.
#
# ## Where the time goes

# %%
last = lines[-1]
speeds = ("positions_per_second", "evaluations_per_second", "updates_per_second")
for name in (*speeds, "self_play_share", "replay_ratio"):
    print(f"{name:24s} {last[name]:,.2f}")

# %% [markdown]
# `self_play_share` is the share of time in self-play; `replay_ratio` is how often a position is trained on.
#
# ## A game
#
# The report has sample games to click through, with values and policies. The same, by hand:

# %%
import jax

agent = jzero.load(path)
env = agent.env
states = jzero.init_batch(env, jax.random.key(0), 1)
while not bool(states.terminated[0]):
    actions = agent.act(states, jax.random.key(0), num_simulations=32)
    states = jzero.step_batch(env, states, actions, jax.random.key(0))
display(SVG(env.svg(jax.tree.map(lambda x: x[0], states))))
print("report:", path / "report.html")
