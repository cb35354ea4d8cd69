"""Errors for numbers that are not finite: where one first appeared, as far as that is known."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jzero.agent import Agent
from jzero.env import observe_batch
from jzero.look import Facts
from jzero.pytrees import PyTree, States

LOWER = "lower --learning-rate or --max-grad-norm"


def check_finite(metrics: Mapping[str, float], where: str, cause: Callable[[], str], go_on: str) -> None:
    """Raises FloatingPointError for a metric that is not finite.

    Args:
      metrics: the values to check.
      where: the iteration and the step in it.
      cause: returns where it first appeared, and what to do.
      go_on: the command that resumes the run; "" if there is no checkpoint.
    """
    bad = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
    if not bad:
        return
    then = f", then {go_on}" if go_on else ""
    raise FloatingPointError(
        f"{', '.join(bad)} in {where}; the run stopped without saving this iteration: {cause()}{then}"
    )


def cause_in_play(agent: Agent, states: States, *, learned: bool) -> str:
    """Where self-play first has a number that is not finite: weights, observations, rewards or the network's
    output.

    Args:
      agent: holds the weights that played.
      states: [B] current states of the games.
      learned: updates came before.
    """
    if not _finite(agent.params):
        return (
            f"the weights are not finite; {LOWER}"
            if learned
            else "the network's initial weights are not finite"
        )
    if found := _in_environment(agent, states):
        return found
    outputs = agent.evaluate(states)
    rows = np.any([_bad_rows(output) for output in outputs], axis=0)
    if rows.any():
        return (
            f"the network's output is not finite in {rows.sum()} of {len(rows)} positions whose observations are "
            "finite: look for a division, a logarithm or an overflow in the network"
            f"{f', or {LOWER}' if learned else ''}"
        )
    return (
        "weights are finite, and so are observations and the network's output in the current positions; the cause "
        f"was in an earlier position: {_checks(agent.name)} searches for one"
    )


def cause_in_update(agent: Agent, states: States, losses: Mapping[str, float], *, learned: bool) -> str:
    """Where an update first has a number that is not finite: observations, the loss or its gradients.

    Args:
      agent: names the environment.
      states: [B] current states of the games.
      losses: of the first update with a loss that is not finite.
      learned: updates came before.
    """
    if found := _in_environment(agent, states):
        return found
    lower = f", or {LOWER}" if learned else ""
    if all(math.isfinite(value) for name, value in losses.items() if name != "grad_norm"):
        return (
            "the loss is finite, but its gradients are not: look for the derivative of a root, a norm or a "
            f"division at 0 in the network or the loss{lower}"
        )
    when = f"; {LOWER}" if learned else " before the first update: check the network's output in training"
    return f"observations in the current positions are finite, but the loss is not{when}"


def _in_environment(agent: Agent, states: States) -> str:
    """Which outputs of the environment are not finite; "" if all are finite."""
    parts = {"an observation": observe_batch(agent.env, states), "a reward": states.rewards}
    bad = [name for name, part in parts.items() if not _finite(part)]
    said = f"{' and '.join(bad)} of the environment is not finite; {_checks(agent.name)} says which"
    return said if bad else ""


def check_facts(name: str, facts: Facts) -> None:
    """Raises ValueError if a number of random games of the environment called `name` is not finite.

    Its returns are not looked at: an emulator, which is not played, counts as one of infinite returns.
    """
    numbers = {"a reward": facts.largest_reward, "an observation": facts.largest_number}
    bad = [f"{what} of {name!r} ({number})" for what, number in numbers.items() if not math.isfinite(number)]
    if bad:
        raise ValueError(
            f"{' and '.join(bad)} is not finite in random games, from which the settings follow: look for a "
            f"division, a logarithm or an overflow in the environment; {_checks(name)} says at which ply"
        )


def _checks(name: str) -> str:
    return f"`python -m jzero check {shlex.quote(name)}`"


def _finite(tree: PyTree) -> bool:
    return all(not _bad_rows(leaf).any() for leaf in jax.tree.leaves(tree))


def _bad_rows(leaf: PyTree) -> np.ndarray:
    """bool[B] rows of an array [B, ...] that are not finite; random keys and integers are finite."""
    leaf = jnp.atleast_1d(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return np.zeros(len(leaf), bool)
    finite = np.asarray(jnp.isfinite(leaf)).reshape(len(leaf), -1)
    return np.any(~finite, axis=1)
