"""What a GPU would run, counted on a machine that has none: nobody brings the host back into a search.

Needs JAX's CUDA plugin (`missing_plugin` says how to install it); `.ci/run` has it.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from experiments.benchmarks.without_gpu import missing_plugin
from tests.helpers.tiny import REPOSITORY, child_environment

pytestmark = pytest.mark.skipif(bool(missing_plugin()), reason=missing_plugin())
SCRIPT = REPOSITORY / "experiments" / "benchmarks" / "gpu.py"


class Counted(NamedTuple):
    operations: int
    """Kernels and copies."""
    waits: int
    """Conditionals at which the host waits."""
    loops: str
    """Of unknown trip count, with who drives them."""


@functools.cache
def counted(card: str, *programs: str) -> dict[tuple[str, str], Counted]:
    """By program and "simulation", "ply" or "search"."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--count", card, "--programs", *programs],
        cwd=REPOSITORY,
        env=child_environment(Path(tempfile.gettempdir()), JAX_DISABLE_MOST_OPTIMIZATIONS="0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("| ") and not line.startswith(("| program", "| ---")):
            name, per, kernels, copies, _, waits, loops = (cell.strip() for cell in line.split("|")[1:-1])
            found[name, per] = Counted(int(kernels) + int(copies), int(waits), loops)
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.parametrize(
    "name", [f"search, {policy}, A {a}" for policy in ("gumbel", "puct") for a in (7, 82)]
)
def test_a_simulation_is_two_kernels_and_the_model(name):
    found = counted("h100", "search")[name, "simulation"]
    assert found.operations <= 8, "descend, finish, and a model that reads tables"
    assert not found.waits
    assert not found.loops


def test_self_play_is_not_driven_by_the_host():
    found = counted("h100", "connect_four 6x64, norm none")
    assert found["connect_four 6x64, norm none", "simulation"].operations <= 40
    for part in found.values():
        assert not part.waits
        assert not part.loops


def test_proofs_have_kernels_too():
    found = counted("h100", "gomoku 9x9 with proofs")["gomoku 9x9 with proofs", "simulation"]
    assert not found.waits
    assert not found.loops


def test_a_call_of_several_leaves_is_not_driven_by_the_host():
    found = counted("h100", "search, puct, A 82, 4 leaves")["search, puct, A 82, 4 leaves", "simulation"]
    assert found.operations <= 150
    assert not found.waits
    assert not found.loops


@pytest.mark.parametrize("card", ["a100", "l4"])
def test_other_cards_get_the_kernels(card):
    found = counted(card, "search, gumbel, A 7")["search, gumbel, A 7", "simulation"]
    assert found.operations <= 8
    assert not found.loops


@pytest.mark.skipif(jax.__version_info__ < (0, 11), reason="before jax 0.11 Pallas does not ask for the card")
@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_a_card_that_kernels_do_not_serve_checks_twice(policy):
    """The walk: a descent and a backup each make several hops before the host looks."""
    name = f"search, {policy}, A 7"
    found = counted("t4", name)[name, "simulation"]
    assert found.loops.count("host: ") == 2
    assert not found.waits
