# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # MuZero on CartPole
#
# The agent is told neither the rules nor the physics: it learns a model and plans in it. About two minutes on a CPU.
# Needs `pip install -e ".[envs]"`.

# %%
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import jzero

sys.path.append(str(Path(jzero.__file__).parents[1] / "experiments"))  # of the clone that is installed
from cartpole import PRESETS, final, measure

from jzero.run.cli import main
from jzero.storage.run_dir import RunDir, read_metrics

# %% [markdown]
# ## Train
#
# 16 games, Gumbel search with 16 simulations, a latent state of 64 numbers. The run ends as soon as the mean return of
# 100 episodes reaches 490 of 500.

# %%
strength = main("cartpole", PRESETS, measure=measure, final=final, argv=["--minutes", "4"])

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
# `python experiments/cartpole.py --algorithm muzero` (PUCT, 50 simulations) and `--algorithm efficientzero` do the same
# with other parts; `docs/learned_models.md` has every formula.
