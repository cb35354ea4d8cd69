"""A tiny run in hostile surroundings: no home, nothing to write to, no terminal, another user, odd names."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from jzero.storage.files import read_json
from tests.helpers.tiny import CHILD, REPOSITORY, child_environment

SURROUNDINGS = {
    "a home that is not set": {"HOME": None},
    "a home that does not exist": {"HOME": "/nowhere/at/all"},
    "64-bit numbers": {"JAX_ENABLE_X64": "1"},
    "letters of ASCII alone": {
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    },
    "an allocation without srun": {
        "SLURM_JOB_ID": "17",
        "SLURM_NTASKS": "4",
        "SLURM_NODELIST": "node[1-4]",
        "SLURM_JOB_NODELIST": "node[1-4]",
        "SLURM_JOB_NUM_NODES": "4",
    },
}
ANOTHER = 54321
"""A user's number that has no name."""
# It may read all files, as the interpreter may lie in the home of root, but write its own alone.
AS_ANOTHER = (
    "setpriv",
    *(f"--reuid={ANOTHER}", f"--regid={ANOTHER}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def run(run_dir, cache, variables=(), **options):
    """Trains two iterations in `run_dir`; returns what was said, once the result is there."""
    done = start(run_dir, cache, variables, **options)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert (read_json(run_dir / "result.json") or {})["iterations"] == 2
    assert (run_dir / "report.html").exists()
    return done.stdout


def start(run_dir, cache, variables=(), *, code="", prefix=(), folder=REPOSITORY, **options):
    """The process that trained two iterations in `run_dir`, or did not."""
    environment = child_environment(cache)
    for name, value in dict(variables).items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    arguments = ["never", "--run-dir", str(run_dir), "--iterations", "2", "--cpu-devices", "1"]
    return subprocess.run(
        [*prefix, sys.executable, "-c", code + CHILD, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
        **options,
    )


@pytest.mark.parametrize("variables", SURROUNDINGS.values(), ids=SURROUNDINGS)
@pytest.mark.slow
def test_a_run_ends_well_with(tmp_path, cache, variables):
    run(tmp_path / "run", cache, variables)


def test_a_run_ends_well_in_a_folder_with_an_odd_name_without_a_home(tmp_path, cache):
    folder = tmp_path / "my rüns & 遊戲"
    folder.mkdir()
    assert "rüns" in run(folder / "rün 1", cache, {"HOME": None, "PYTHONUTF8": "1"}, folder=folder)


@pytest.mark.slow
def test_a_run_ends_well_in_an_odd_folder_where_only_ascii_can_be_printed(tmp_path, cache):
    folder = tmp_path / "my rüns & 遊戲"
    folder.mkdir()
    said = run(folder / "rün 1", cache, {"LANG": "C", "PYTHONIOENCODING": "ascii"}, folder=folder)
    assert r"r\xfcn 1" in said


@pytest.mark.slow
def test_a_directory_that_cannot_be_named_in_the_locale_is_refused_in_one_line(tmp_path, cache):
    done = start(tmp_path / "rün", cache, SURROUNDINGS["letters of ASCII alone"])
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "characters outside this locale's encoding: set PYTHONUTF8=1" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_ends_well_without_a_standard_input(tmp_path, cache):
    run(tmp_path / "run", cache, code="import os\nos.close(0)\n")


@pytest.mark.slow
def test_a_run_ends_well_on_another_file_system(cache):
    if not Path("/dev/shm").is_dir():
        pytest.skip("needs /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        run(Path(folder) / "run", cache)


@pytest.fixture
def open_folder():
    """A folder that any user can read; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
@pytest.mark.parametrize("home", ["one that cannot be written", "none"])
def test_a_user_without_a_name_runs_where_it_can_write_its_directory_alone(open_folder, cache, home):
    """Neither home nor the current directory can be written, and no file is for others to read."""
    closed, own = open_folder / "closed", open_folder / "own"
    for folder in (closed, own):
        folder.mkdir(mode=0o755)
    os.chown(own, ANOTHER, ANOTHER)
    home = str(closed) if home != "none" else None
    variables = {"HOME": home, "JAX_COMPILATION_CACHE_DIR": None}
    run(own / "run", cache, variables, prefix=AS_ANOTHER, folder=closed, umask=0o77)
    assert not list(closed.iterdir())
    assert (own / "run").stat().st_uid == ANOTHER
    assert all(path.stat().st_mode & 0o77 == 0 for path in (own / "run").rglob("*"))
