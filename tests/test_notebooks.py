"""The notebooks, as a reader would run them."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny import REPOSITORY

NOTEBOOKS = REPOSITORY / "experiments" / "notebooks"
MISSING = [name for name in ("jupytext", "nbmake", "ipykernel") if importlib.util.find_spec(name) is None]

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))


def cells_of_source(text: str) -> list[str]:
    """The cells of a jupytext source in the percent format, after its header."""
    parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [
        re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE) if "markdown" in kind else body.strip()
        for kind, body in pairs
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_source_with_outputs(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert cells == cells_of_source((NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")), (
        f"run `python experiments/run_notebooks.py {name}`"
    )
    assert any(cell.get("outputs") for cell in notebook["cells"])
    assert not [
        output for cell in notebook["cells"] for output in cell.get("outputs", []) if "ename" in output
    ]
    assert path.stat().st_size <= 300_000
    assert str(REPOSITORY) not in path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}: pip install -e ".[notebooks]"')
@pytest.mark.parametrize("name", NAMES)
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
        "--nbmake-timeout=600",
    ]
    done = subprocess.run(
        [*command, str(notebook)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": found},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
