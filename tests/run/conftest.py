"""Runs that tests of a run share."""

import functools
from collections.abc import Callable, Iterator

import pytest

from jzero.run import loop as run_lib
from jzero.run import samples
from tests.helpers.training import settings, train


@pytest.fixture(scope="module")
def quick_runs() -> Iterator[None]:
    """Runs of this process share their compiled programs, and only those that are asked for draw reports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lib, "build", functools.cache(run_lib.build))
        patch.setattr(run_lib, "write_report", lambda path, env, **_: path / "report.html")
        patch.setattr(samples, "record_games", lambda agent, **_: {"games": []})
        yield


@pytest.fixture(scope="module")
def reference(quick_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """`reference(n)`: (directory, state) of n iterations without interruption."""

    @functools.cache
    def run(iterations):
        path = tmp_path_factory.mktemp("reference") / "run"
        return path, train(settings(path, iterations))

    return run
