"""mctx's own tests, the files of its wheel as they are, of `jzero.search` in place of mctx.

`docs/search.md` lists each of them: those that pass, and those that differ, with the reason.
"""

import importlib
import importlib.util
import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import mctx
import pytest

from jzero import search
from jzero.search import puct, root, scores
from tests.helpers.tiny import REPOSITORY

MCTX = Path(mctx.__file__).parent
SECTION = "## mctx's own tests\n"
SLOW = {"tree_muzero_norescale", "tree_gumbel_muzero_norescale"}  # read fields of a tree 16,000 times


def considered_visits(max_num_considered_actions: int, num_simulations: int) -> tuple[int, ...]:
    table = scores.considered_visits(max_num_considered_actions, num_simulations, num_simulations)
    return tuple(table[max_num_considered_actions].tolist())


def mixed_value(
    raw_value: jax.Array, qvalues: jax.Array, visit_counts: jax.Array, prior_probs: jax.Array
) -> jax.Array:
    """What completes the Q-values [A] of a node all of whose actions have slots."""
    nothing, logits = jnp.float32(-jnp.inf), jnp.log(prior_probs)
    row = scores.Row(
        prior_logits=logits,
        visits=visit_counts.astype(jnp.float32),
        qvalues=qvalues,
        open_prior=nothing,
        open_mass=nothing,
        prior_mass=jax.nn.logsumexp(logits),
        node_visits=1.0 + jnp.sum(visit_counts),
        node_value=raw_value,
        raw_value=raw_value,
        num_actions=len(qvalues),
    )
    unscaled = {"maxvisit_init": 1.0 - jnp.max(visit_counts), "value_scale": 1.0, "rescale_values": False}
    return scores.completed_by_mix_value(row, **unscaled).best_open


# What stands for the private functions that mctx's tests call.
PRIVATE = {
    "_apply_temperature": puct.temper,
    "_compute_mixed_value": mixed_value,
    "_mask_invalid_actions": root.mask_invalid_actions,
    "get_sequence_of_considered_visits": considered_visits,
}


def stand_ins() -> dict[str, ModuleType]:
    """The modules of mctx that its tests import, with what jzero has in place of mctx's own."""
    names, source = PRIVATE | {name: getattr(search, name) for name in mctx.__all__}, ModuleType("mctx._src")
    modules = {"mctx": search, "mctx._src": source}
    for file in (MCTX / "_src").glob("[!_]*.py"):
        theirs = vars(importlib.import_module(f"mctx._src.{file.stem}"))
        module = modules[f"mctx._src.{file.stem}"] = ModuleType(file.stem)
        vars(module).update(theirs | {name: names[name] for name in theirs.keys() & names.keys()})
        setattr(source, file.stem, module)
    return modules


def in_docs() -> dict[str, str]:
    """What the page says of each test, "passes" or "differs: ..."; names are without `test_`."""
    section = (REPOSITORY / "docs" / "search.md").read_text(encoding="utf-8").partition(SECTION)[2]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE))


@pytest.fixture(scope="module")
def suite() -> Iterator[dict[str, unittest.TestCase]]:
    """All tests of mctx's files by name."""
    found, partitionable = {}, jax.config.values["jax_threefry_partitionable"]
    with pytest.MonkeyPatch.context() as patch, jax.threefry_partitionable(False):
        for name, module in stand_ins().items():
            patch.setitem(sys.modules, name, module)
        for file in (MCTX / "_src" / "tests").glob("*_test.py"):
            spec = importlib.util.spec_from_file_location(file.stem, file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)  # changes JAX's setting of keys
            for case in unittest.defaultTestLoader.loadTestsFromModule(module):
                found |= {test.id().rpartition(".test_")[2]: test for test in case}
        jax.config.update("jax_threefry_partitionable", partitionable)
        patch.chdir(MCTX)  # its files are named relative to a neighbour of the package
        yield found


def test_each_test_of_mctx_is_listed(suite):
    assert set(in_docs()) == set(suite)
    assert all(re.fullmatch(r"passes|differs: .+", here) for here in in_docs().values())


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in in_docs()])
def test_a_test_of_mctx_does_what_is_listed(suite, name):
    result = unittest.TestResult()
    suite[name].run(result)
    assert result.testsRun == 1
    assert not result.skipped
    assert not result.errors, result.errors[0][1]
    says = "\n".join(text for _, text in result.failures)
    assert result.wasSuccessful() == (in_docs()[name] == "passes"), says
