"""Fixtures of the tests that compile whole training programs or fill disks."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.helpers.tiny import start_python, worker_report

if jax.__version_info__ < (0, 11):
    # Most of the tests' time is compilation, a third shorter so. Later versions end at an option that they lack.
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled programs that this session and its child processes share."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def four_devices(cache: Path) -> dict[str, Any]:
    """What `mesh_worker` says of three iterations on four CPU devices."""
    return worker_report(start_python("-m", "tests.helpers.mesh_worker", 4, 3, "more", cache=cache))


@pytest.fixture(scope="module")
def quick_compilation(cache: Path) -> Iterator[None]:
    """Compiles little and only once: compiling takes longer than what tiny programs compute."""
    options = {
        "jax_disable_most_optimizations": True,
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


@pytest.fixture(scope="module", autouse=True)
def forget_programs() -> Iterator[None]:
    """Frees a module's compiled programs: thousands of them exhaust a process's memory maps (a crash in XLA)."""
    yield
    jax.clear_caches()


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Makes the kernel refuse what would let a file grow past so many bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
