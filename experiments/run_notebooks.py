"""Writes the notebooks beside their sources: experiments/notebooks/*.ipynb, with the outputs of a run.

    python experiments/run_notebooks.py                  all of them, about 20 minutes on two cores
    python experiments/run_notebooks.py quickstart       some

Needs pip install -e ".[notebooks,play,envs]". The outputs have no progress bars and no paths of the machine.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

FOLDER = Path(__file__).parent / "notebooks"
LARGEST = 300_000
"""Bytes of a notebook at most."""


@dataclass(frozen=True)
class Config:
    """The notebooks to run."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of the sources without `.py`; by default all."""


def execute(name: str) -> None:
    """Runs one notebook in an empty folder and writes it."""
    import jupytext
    from nbclient import NotebookClient

    notebook: Any = jupytext.read(FOLDER / f"{name}.py")
    repository = FOLDER.parents[1]
    paths = [str(repository), str(repository / "envs"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}})
        client.execute()
        for cell in notebook.cells:
            tidy(cell, [folder, str(repository)])
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    path = FOLDER / f"{name}.ipynb"
    path.write_text(jupytext.writes(notebook, fmt="ipynb") + "\n", encoding="utf-8")
    size = path.stat().st_size
    print(f"{name}: {size:,} bytes")
    if size > LARGEST:
        raise ValueError(f"{path} has {size:,} bytes, more than {LARGEST:,}: show less in it")


def tidy(cell: Any, private: list[str]) -> None:
    """Drops progress bars, times and this machine's paths from a cell."""
    cell.metadata = {}
    if cell.cell_type != "code":
        return
    kept: list[Any] = []
    for output in cell.outputs:
        if output.get("name") == "stderr":
            continue
        if output.output_type == "stream":
            output.text = without(output.text, private)
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
        data = output.get("data", {})
        if "image/svg+xml" in data:
            data.pop("image/png", None)
        for kind, text in data.items():
            data[kind] = without(text, private) if isinstance(text, str) else text
        kept.append(output)
    cell.outputs = kept


def without(text: str, private: list[str]) -> str:
    """A text without paths; of lines that were written over, the last."""
    for path in private:
        text = text.replace(f"{path}/", "").replace(path, ".")
    return re.sub(r"[^\n]*\r(?!\n)", "", text)


def main(config: Config) -> None:
    """Runs them in turn."""
    for name in config.names or sorted(path.stem for path in FOLDER.glob("*.py")):
        execute(name)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
