"""Sets JAX up before its first use: cores as devices, several hosts, the compilation cache.

Settings made by the user through JAX's variables or `jax.config` take precedence.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import jax

CACHE = Path("~/.cache/jzero/xla")
CPU_INFO = Path("/proc/cpuinfo")
"""Description of the CPU on Linux."""
HEARTBEAT = 20
"""Seconds of silence after which a process counts as dead and the others end; JAX's threads send heartbeats."""
JAX_THRESHOLD = 1.0
"""JAX's default: seconds of compilation above which a program is cached."""


def set_up(*, cpu_devices: int | None = None, cache: str | Path | None = CACHE) -> None:
    """Call once, before any array exists: later calls (in a notebook, for example) do not change the devices.

    On a CPU every core becomes a device of the mesh: tree operations use one core per device, so this keeps all
    cores busy. With a GPU the number of CPU devices does not matter. Under a launcher that JAX knows (Slurm, Open
    MPI, or the variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID) the processes join into one
    mesh.

    Args:
      cpu_devices: CPU devices of this process; None: the number in JAX_NUM_CPU_DEVICES or XLA_FLAGS, else one per
        core.
      cache: folder of compiled programs, which makes the next start fast. It is used if it can be written and JAX
        has no other (JAX_COMPILATION_CACHE_DIR). None: no cache.

    Raises:
      ValueError: JAX is already in use with another number of CPU devices than `cpu_devices`.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked, cpu_devices = cpu_devices, cpu_devices or _users_cpu_devices() or count
    # The size of XLA's thread pool. A device that waits in a collective holds a thread, so with one thread a core
    # the devices can wait for each other for ever. Twice as many is enough, and more is slower (measured).
    os.environ.setdefault("NPROC", str(2 * max(count, cpu_devices)))
    try:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    except RuntimeError as error:
        if asked not in (None, found := jax.local_device_count("cpu")):
            raise ValueError(
                f"cpu_devices is {asked}, but JAX is already in use with {found}: set it before the first array is "
                f"made (in a notebook: restart the kernel), or use {found}"
            ) from error
    if cache is not None and not jax.config.values["jax_compilation_cache_dir"]:
        _keep_programs(Path(cache))
    if _launched_as_one_of_many() and not jax.distributed.is_initialized():
        jax.distributed.initialize(
            coordinator_address=os.environ.get("JAX_COORDINATOR_ADDRESS"),
            num_processes=_number("JAX_NUM_PROCESSES"),
            process_id=_number("JAX_PROCESS_ID"),
            heartbeat_timeout_seconds=HEARTBEAT,
        )


def has_matrix_units() -> bool:
    """Whether this CPU has Intel's AMX, which JAX uses for bfloat16 products with float32 sums."""
    try:
        return bool(re.search(r"^flags\b.*\bamx_bf16\b", CPU_INFO.read_text(), re.MULTILINE))
    except OSError:  # not Linux
        return False


def _users_cpu_devices() -> int | None:
    """The number of CPU devices in the user's settings of JAX and XLA."""
    if (number := jax.config.values["jax_num_cpu_devices"]) > 0:
        return number
    flag = re.search(r"--xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    return int(flag[1]) if flag else None


def _keep_programs(folder: Path) -> None:
    """Caches compiled programs in `folder`, unless there is no home folder or it cannot be written."""
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if jax.config.values["jax_persistent_cache_min_compile_time_secs"] == JAX_THRESHOLD:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _launched_as_one_of_many() -> bool:
    # No public function tells an allocation of Slurm, where a process is alone, from a step that srun started.
    from jax._src.clusters.slurm_cluster import SlurmCluster

    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        return True
    if SlurmCluster.is_env_present() and int(os.environ["SLURM_NTASKS"]) > 1:
        return True
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1


def _number(name: str) -> int | None:
    return int(os.environ[name]) if name in os.environ else None
