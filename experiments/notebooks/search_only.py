# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # The search, for mctx users
#
# Code that uses mctx runs unchanged with `from jzero import search as mctx`. Visit counts are equal but for a few
# [differences](../../docs/search.md#differences-from-mctx); `epsilon=1e-8` below is one of them. Keyword arguments add
# what mctx does not have.

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
    f"{jax.devices()[0].device_kind}: the rest took 2 minutes on two CPU cores busy with other work; a GPU is not measured"
)

# %%
import time
from functools import partial

import jax.numpy as jnp
import mctx

from jzero import search

# %% [markdown]
# ## A model
#
# A ring of 1,000 states, 8 actions, rewards from a table. As with mctx, the search needs a `RootFnOutput` and a
# `recurrent_fn`.

# %%
STATES, ACTIONS, BATCH, SIMULATIONS = 1000, 8, 256, 64
table_key, logits_key, value_key = jax.random.split(jax.random.key(0), 3)
REWARDS = jax.random.normal(table_key, (STATES, ACTIONS))
LOGITS = jax.random.normal(logits_key, (STATES, ACTIONS))
VALUES = jax.random.normal(value_key, (STATES,))


def recurrent_fn(params, rng_key, action, state):
    after = (7 * state + action + 1) % STATES
    output = mctx.RecurrentFnOutput(
        reward=REWARDS[state, action],
        discount=jnp.full(state.shape, 0.97),
        prior_logits=LOGITS[after],
        value=VALUES[after],
    )
    return output, after


state = jnp.arange(BATCH)
root = mctx.RootFnOutput(prior_logits=LOGITS[state], value=VALUES[state], embedding=state)

# %% [markdown]
# ## The same result, sooner


# %%
@partial(jax.jit, static_argnums=0)
def run(library, key):
    policy = library.gumbel_muzero_policy(
        (),
        key,
        root,
        recurrent_fn,
        SIMULATIONS,
        qtransform=partial(library.qtransform_completed_by_mix_value, epsilon=1e-8),
    )
    return policy.action, policy.search_tree.summary().visit_counts


def seconds(library):
    jax.block_until_ready(run(library, jax.random.key(0)))  # compiles
    begun = time.perf_counter()
    jax.block_until_ready(run(library, jax.random.key(1)))
    return time.perf_counter() - begun


ours, theirs = run(search, jax.random.key(1)), run(mctx, jax.random.key(1))
equal = int((ours[1] == theirs[1]).all(axis=1).sum())
print(f"equal visit counts in {equal} of {BATCH} games")
assert equal == BATCH
print(f"time of mctx over ours: {seconds(mctx) / seconds(search):.1f}")

# %% [markdown]
# ## What else there is
#
# Several leaves of a tree in one call of the model, and the last move's tree kept for the next search:

# %%
output = search.gumbel_muzero_policy(
    (), jax.random.key(2), root, recurrent_fn, SIMULATIONS, leaves=8, num_nodes=2 * SIMULATIONS + 1
)
kept = search.subtree(output.search_tree, output.action)
print("visits kept, mean:", float(kept.summary().visit_counts.sum(axis=1).mean()))

_, next_state = recurrent_fn((), jax.random.key(3), output.action, state)
next_root = mctx.RootFnOutput(prior_logits=LOGITS[next_state], value=VALUES[next_state], embedding=next_state)
output = search.gumbel_muzero_policy(
    (), jax.random.key(4), next_root, recurrent_fn, SIMULATIONS, tree=kept, num_nodes=2 * SIMULATIONS + 1
)
print(
    "visits with the new search, mean:", float(output.search_tree.summary().visit_counts.sum(axis=1).mean())
)

# %% [markdown]
# The size of a tree before it is built:

# %%
size = search.tree_nbytes(BATCH, ACTIONS, SIMULATIONS + 1, state)
print(f"{size / 2**20:.1f} MiB")

# %% [markdown]
# ## A picture
#
# Shares of visits at the root in 16 of the games: what the search recommends.

# %%
import matplotlib.pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats

set_matplotlib_formats("svg")

visits = output.search_tree.summary().visit_counts[:16]
figure, axes = plt.subplots(figsize=(5, 2.5))
picture = axes.imshow(visits / visits.sum(axis=1, keepdims=True), aspect="auto", cmap="Blues")
axes.set(xlabel="action", ylabel="game")
figure.colorbar(picture, label="share of visits")
figure.tight_layout()
