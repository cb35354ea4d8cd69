"""A reader who steps from a policy into its descent passes few functions of ours."""

import traceback
from pathlib import Path

import jax
import pytest

import jzero
from jzero.search import walk
from tests.helpers import search_options

PACKAGE = Path(jzero.__file__).parent
POLICIES = ("muzero_policy", "gumbel_muzero_policy", "stochastic_muzero_policy")
MOST = 4
"""Beyond the policy, the descent among them; JAX's own frames are not counted."""


@pytest.mark.parametrize("name", search_options.SEARCHES)
def test_a_descent_is_few_calls_below_its_policy(name, monkeypatch):
    # Searches of several leaves follow their edges with others under way, and gather states for all at once.
    step = "follow" if name.endswith("leaves") else "descend"
    original, stacks = getattr(walk, step), []

    def spy(*arguments):
        stack = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(PACKAGE)]
        stacks.append([frame.name for frame in stack])
        return original(*arguments)

    monkeypatch.setattr(walk, step, spy)
    root = search_options.root(jax.random.split(jax.random.key(0), search_options.B))
    jax.make_jaxpr(search_options.SEARCHES[name])(jax.random.key(1), root)
    assert stacks
    for stack in stacks:
        (policy,) = [index for index, function in enumerate(stack) if function in POLICIES]
        below = [*stack[policy + 1 :], step]
        # A call of several leaves is a loop around the descents.
        assert len(below) <= MOST + name.endswith("leaves"), " > ".join(below)
