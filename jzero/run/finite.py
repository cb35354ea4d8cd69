"""What a run says of a number that is not finite: where it first appeared, as far as that is known."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jzero.agent import Agent
from jzero.env import observe_batch
from jzero.pytrees import PyTree, States

LOWER = "lower --learning-rate or --max-grad-norm"


def check_finite(metrics: Mapping[str, float], where: str, cause: Callable[[], str], go_on: str) -> None:
    """Raises FloatingPointError for a metric that is not finite.

    Args:
      metrics: what is looked at.
      where: the iteration, and what was done in it.
      cause: says where it first appeared, and what to do.
      go_on: the command that resumes the run; "" where there is no checkpoint.
    """
    bad = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
    if not bad:
        return
    then = f", then {go_on}" if go_on else ""
    raise FloatingPointError(
        f"{', '.join(bad)} in {where}; the run was stopped and this iteration not saved: {cause()}{then}"
    )


def cause_in_play(agent: Agent, states: States, *, learned: bool) -> str:
    """Where a number of self-play first is not finite: weights, observations, rewards or the network's output.

    Args:
      agent: with the weights that played.
      states: [B] in which the games are now.
      learned: there were updates before.
    """
    if not _finite(agent.params):
        return (
            f"the weights are not finite; {LOWER}"
            if learned
            else "the network's first weights are not finite"
        )
    if found := _in_environment(agent, states):
        return found
    outputs = agent.evaluate(states)
    rows = np.any([_bad_rows(output) for output in outputs], axis=0)
    if rows.any():
        return (
            f"the network's output is not finite in {rows.sum()} of {len(rows)} positions whose observations are: "
            f"look for a division, a logarithm or an overflow in it{f', or {LOWER}' if learned else ''}"
        )
    return (
        "weights are finite, and so are observations and the network's output in the games' present positions; it "
        f"was in a position before these: {_checks(agent)} looks for one"
    )


def cause_in_update(agent: Agent, states: States, losses: Mapping[str, float], *, learned: bool) -> str:
    """Where a number of an update first is not finite: observations, the loss or its gradients.

    Args:
      agent: names the environment.
      states: [B] in which the games are now.
      losses: of the first update that has one which is not finite.
      learned: there were updates before.
    """
    if found := _in_environment(agent, states):
        return found
    lower = f", or {LOWER}" if learned else ""
    if all(math.isfinite(value) for name, value in losses.items() if name != "grad_norm"):
        return (
            "the loss is finite, its gradients are not: look for the derivative of a root, a norm or a division at "
            f"0 in the network or the loss{lower}"
        )
    when = (
        f"; {LOWER}" if learned else " before anything was learned: look at the network's output in training"
    )
    return f"observations in the games' present positions are finite, the loss is not{when}"


def _in_environment(agent: Agent, states: States) -> str:
    """What the environment gives that is not finite; "" where that is nothing."""
    parts = {"an observation": observe_batch(agent.env, states), "a reward": states.rewards}
    bad = [name for name, part in parts.items() if not _finite(part)]
    return f"{' and '.join(bad)} of the environment is not finite; {_checks(agent)} says which" if bad else ""


def _checks(agent: Agent) -> str:
    return f"`python -m jzero check {shlex.quote(agent.name)}`"


def _finite(tree: PyTree) -> bool:
    return all(not _bad_rows(leaf).any() for leaf in jax.tree.leaves(tree))


def _bad_rows(leaf: PyTree) -> np.ndarray:
    """bool[B] rows of numbers [B, ...] that are not finite; random keys and whole numbers are."""
    leaf = jnp.atleast_1d(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return np.zeros(len(leaf), bool)
    finite = np.asarray(jnp.isfinite(leaf)).reshape(len(leaf), -1)
    return np.any(~finite, axis=1)
