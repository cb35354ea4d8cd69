"""Fixtures of the tests that compile whole training programs or fill disks."""

import contextlib
import gc
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jzero import look
from tests.helpers.tiny import start_python, worker_report

# Most of the tests' time is compilation, a fifth as long so. Later versions end at an option that they lack.
FLAGS = ["--xla_cpu_parallel_codegen_split_count=1"]
if jax.__version_info__ < (0, 11):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([*FLAGS, os.environ.get("XLA_FLAGS", "")]).strip()
# `JAX_DISABLE_MOST_OPTIMIZATIONS=0 pytest` compiles all tests as a user's programs are.
if "JAX_DISABLE_MOST_OPTIMIZATIONS" not in os.environ:
    jax.config.update("jax_disable_most_optimizations", True)


# Tracing makes millions of small objects and few circles of them: Python looks for those less often.
gc.set_threshold(200_000, 20, 50)

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `more.txt` lists, before `-m` chooses by the marks."""
    lines = (HERE / "more.txt").read_text().splitlines()
    more = {line for line in lines if not line.startswith("#")}
    for item in items:
        if item.nodeid.removeprefix(f"{HERE.name}/") in more:
            item.add_marker("more")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled programs that this session, all of its workers and their child processes share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _looks(cache: Path) -> None:
    """What is seen of environments is not kept in the user's folder."""
    look.CACHE = cache / "looks"


@pytest.fixture(scope="session")
def four_devices(cache: Path) -> dict[str, Any]:
    """What `mesh_worker` says of three iterations on four CPU devices."""
    return worker_report(start_python("-m", "tests.helpers.mesh_worker", 4, 3, "more", cache=cache))


@pytest.fixture(scope="module")
def quick_compilation(cache: Path) -> Iterator[None]:
    """Compiles only once what several processes need, or one before and after `jax.clear_caches`."""
    options = {
        "jax_compilation_cache_dir": str(cache),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: jax.config.values[name] for name in options}
    for settings in (options, before):
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        if settings is options:
            yield


@pytest.fixture(autouse=True)
def optimisation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compiles a test in full where it says so, and where it computes long."""
    names = {mark.name for mark in request.node.iter_markers()}
    long = "slow" in names and "quick_compilation" not in request.fixturenames
    before = jax.config.values["jax_disable_most_optimizations"]
    if long or "optimised" in names:
        jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module", autouse=True)
def leaves_no_trace() -> Iterator[None]:
    """JAX's settings are put back after a module, so that no test depends on those before it.

    Its compiled programs are freed: thousands of them exhaust a process's memory maps (a crash in XLA).
    """
    before = dict(jax.config.values)
    yield
    jax.clear_caches()
    changed = {name for name, value in jax.config.values.items() if value != before.get(name, value)}
    for name in changed:
        with contextlib.suppress(RuntimeError):  # the number of devices stays once they are in use
            jax.config.update(name, before[name])
    if "jax_compilation_cache_dir" in changed:
        compilation_cache.reset_cache()


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Makes the kernel refuse what would let a file grow past so many bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
