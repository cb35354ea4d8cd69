"""What a result file says of where and of what it was measured."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from jzero.run_dir import versions


def cpu_name() -> str:
    """How many cores of which CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def commit() -> str:
    """The commit of the working directory; empty outside of a repository."""
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()


def provenance() -> dict[str, Any]:
    """Hardware, versions and commit, for a result file."""
    return {
        "hardware": {"cpu": cpu_name(), "devices": [str(device) for device in jax.devices()]},
        "versions": versions(jax.devices()[0].device_kind),
        "commit": commit(),
    }
