"""The benchmark for GPUs: in small sizes on a CPU, its tables, its count of what a GPU would run."""

import json
import subprocess
import sys

import pytest

from experiments.benchmarks.gpu_tables import tables
from experiments.benchmarks.gpu_trace import covered
from tests.helpers.tiny import REPOSITORY, child_environment

SCRIPT = REPOSITORY / "experiments" / "benchmarks" / "gpu.py"


def run(cache, *arguments, **variables):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=REPOSITORY,
        env=child_environment(cache, **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def failures(cells):
    """Errors on record; what was skipped is none."""
    said = [cell["error"] for cell in cells if "error" in cell]
    missing = [text for cell in cells for text in cell.get("missing", {}).values()]
    return said + [text for text in missing if not text.startswith("skipped")]


def test_steps_are_on_record_with_where_they_were_measured(cache, tmp_path):
    run(cache, "--tiny", "--steps", "versions", "micro", "--out", tmp_path)
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert list(result["steps"]) == ["versions", "micro"]
    assert not [error for cells in result["steps"].values() for error in failures(cells)]
    assert result["versions"]["jax"]
    assert result["commit"]
    assert all(us > 0 for us in result["steps"]["micro"][0]["microseconds"].values())
    assert (tmp_path / "gpu.md").read_text().startswith(result["steps"]["versions"][0]["nvidia_smi"])


def test_what_no_longer_fits_the_time_is_skipped(cache, tmp_path):
    run(cache, "--tiny", "--steps", "versions", "tree", "--minutes", "0.0001", "--out", tmp_path)
    steps = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert all("skipped" in cell for cells in steps.values() for cell in cells)


@pytest.mark.slow
def test_all_steps_run_on_a_cpu(cache, tmp_path):
    run(cache, "--tiny", "--minutes", "60", "--out", tmp_path)
    result = json.loads((tmp_path / "gpu.json").read_text())
    steps = result["steps"]
    assert not [error for cells in steps.values() for error in failures(cells)]
    assert not [cell for cells in steps.values() for cell in cells if "skipped" in cell]
    assert all(cell["to_walk"]["mctx"]["equal"] == 1 for cell in steps["tree"])
    assert all(
        found["positions_per_second"] > 0 for cell in steps["games"] for found in cell["modes"].values()
    )
    assert steps["training"][0]["strength"]["value"] > 0.3
    assert tables(result) == (tmp_path / "gpu.md").read_text()


def test_tables_show_the_best_of_ours_beside_mctx():
    cell = {
        "policy": "gumbel",
        "A": 7,
        "B": 1024,
        "us_per_simulation": {"walk": 600.0, "kernels": 50.0, "mctx": 1000.0},
        "to_walk": {"walk": {"equal": 1.0}, "kernels": {"equal": 0.9995}},
    }
    result = {
        "versions": {"jax": "0.11.2", "python": "3.12"},
        "date": "2026-11-26",
        "commit": "abc",
        "steps": {"tree": [cell, {"policy": "puct", "A": 7, "B": 1024, "error": "ValueError"}]},
    }
    assert "| gumbel | 7 | 1,024 | 600.0 |  | 50.0 |  | 1,000.0 | 20.0 | 0.9995 |" in tables(result)
    assert "| puct | 7 | 1,024 |  |  |  |  |  |  |  |" in tables(result)


def test_time_that_intervals_cover():
    assert covered([(0, 2), (1, 3), (5, 6), (5.5, 5.7)]) == 4
