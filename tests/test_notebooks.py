"""The notebooks, as a reader would run them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny import REPOSITORY

NOTEBOOKS = REPOSITORY / "experiments" / "notebooks"
MISSING = [name for name in ("jupytext", "nbmake", "ipykernel") if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}: pip install -e ".[notebooks]"')
@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.py")))
def test_a_notebook_runs_from_top_to_bottom(tmp_path: Path, name: str) -> None:
    if name == "muzero_cartpole":
        pytest.importorskip("gymnax")
    notebook = tmp_path / f"{name}.ipynb"
    source = str(NOTEBOOKS / f"{name}.py")
    subprocess.run([sys.executable, "-m", "jupytext", "--to", "ipynb", "-o", notebook, source], check=True)
    found = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs"), os.environ.get("PYTHONPATH", "")])
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:xdist",
        "-c",
        os.devnull,
        "--nbmake",
        "--nbmake-timeout=300",
    ]
    done = subprocess.run(
        [*command, str(notebook)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": found},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
