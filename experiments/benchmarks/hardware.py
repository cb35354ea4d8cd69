"""The hardware, versions and commit that a result file records."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from jzero.storage.run_dir import versions


def cpu_name() -> str:
    """Number of cores and name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def commit(code: Path = Path(__file__).parents[2]) -> str:
    """The commit of the checkout `code`: JZERO_COMMIT if set, else git's answer, else "".

    Set JZERO_COMMIT where only a copy of the files is present, without git or with an older one.
    """
    said = os.environ.get("JZERO_COMMIT", "")
    with contextlib.suppress(OSError):  # no git
        command = ["git", "-C", str(code), "rev-parse", "HEAD"]
        said = said or subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return said


def provenance() -> dict[str, Any]:
    """Hardware, versions and commit, for a result file."""
    return {
        "hardware": {"cpu": cpu_name(), "devices": [str(device) for device in jax.devices()]},
        "versions": versions(jax.devices()[0].device_kind),
        "commit": commit(),
    }


def tell(result: dict[str, Any], out: Path | None) -> None:
    """Prints a result and, if `out` is given, writes it there."""
    text = json.dumps(result, indent=2)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
