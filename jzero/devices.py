"""Sets JAX up before its first use: cores as devices, several hosts, the compilation cache."""

from __future__ import annotations

import os
from pathlib import Path

import jax

CACHE = Path("~/.cache/jzero/xla")


def set_up(*, cpu_devices: int | None = None, cache: str | Path | None = CACHE) -> None:
    """Call once, before any array exists: later (in a notebook, say) the devices stay as they are.

    On a CPU every core becomes a device of the mesh: tree operations run on one core a device, so this is what
    keeps all cores busy. With a GPU the number of CPU devices does not matter. Under a launcher that JAX knows
    (Slurm, Open MPI, or the variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID) the processes
    join into one mesh.

    Args:
      cpu_devices: CPU devices of this process; None for one a core.
      cache: folder of compiled programs, so that the next start is quick; None for no cache.

    Raises:
      ValueError: JAX is in use with another number of CPU devices than `cpu_devices`.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked, cpu_devices = cpu_devices, cpu_devices or count
    # The size of XLA's thread pool. A device that waits in a collective holds a thread, so with one thread a core
    # the devices can wait for each other for ever. Twice as many is enough, and more is slower (measured).
    os.environ.setdefault("NPROC", str(2 * max(count, cpu_devices)))
    try:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    except RuntimeError as error:
        if asked not in (None, found := jax.local_device_count("cpu")):
            raise ValueError(
                f"cpu_devices is {asked}, but JAX is in use with {found}: give it before the first array is made "
                f"(in a notebook: restart the kernel), or give {found}"
            ) from error
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(Path(cache).expanduser()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    if _launched_as_one_of_many() and not jax.distributed.is_initialized():
        jax.distributed.initialize(
            coordinator_address=os.environ.get("JAX_COORDINATOR_ADDRESS"),
            num_processes=_number("JAX_NUM_PROCESSES"),
            process_id=_number("JAX_PROCESS_ID"),
        )


def _launched_as_one_of_many() -> bool:
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        return True
    return int(os.environ.get("SLURM_NTASKS", 1)) > 1 or int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1


def _number(name: str) -> int | None:
    return int(os.environ[name]) if name in os.environ else None
