"""The table of the switches of a training, from runs made by hand."""

import importlib

import pytest

from tests.helpers.tiny import REPOSITORY


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "experiments" / "benchmarks")
    return importlib.import_module("strength_table")


def run(name, seed, searched, policy, *options):
    """A run with these shares on the two sets of positions."""
    groups = {"64 simulations": searched, "policy alone": (0.0, 0.0), "share of the policy": policy}
    parts = [{"group": group, "value": values[i]} for i in (0, 1) for group, values in groups.items()]
    return {
        "name": name,
        "seed": seed,
        "options": ["--minutes", "4", "--seed", str(seed), *options],
        "positions": 400_000 + 1000 * seed,
        "strength": {"parts": parts},
    }


def test_differences_are_paired_by_seed_with_students_interval(benchmark):
    runs = [
        run("preset", 0, (0.80, 0.70), (0.6, 0.5)),
        run("solved", 0, (0.84, 0.72), (0.6, 0.5), "--search.solve"),  # + 0.03
        run("preset", 1, (0.90, 0.60), (0.6, 0.5)),
        run("solved", 1, (0.91, 0.61), (0.7, 0.6), "--search.solve"),  # + 0.01
        run("solved", 2, (0.10, 0.10), (0.0, 0.0), "--search.solve"),  # its base is not there yet
        run("lone", 1, (0.80, 0.60), (0.6, 0.5), "--cooldown", "0.3"),
    ]
    lines = benchmark.table(runs, "preset")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {7}
    assert cells[2] == ["preset", "0, 1", "400k", "0.850; 0.650", "0.600; 0.500", "", ""]
    # Student's t for one degree of freedom is 12.706; the deviation of the mean of 0.03 and 0.01 is 0.01.
    assert cells[3][0] == "`--search.solve`"
    assert cells[3][5:] == ["+0.020 +-0.127", "+0.050 +-0.635"]
    assert cells[4][:2] + cells[4][5:] == ["`--cooldown 0.3`", "1", "-0.050", "+0.000"]
