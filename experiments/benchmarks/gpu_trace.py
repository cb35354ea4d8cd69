"""The share of time in which a GPU runs a kernel or copy, by JAX's profiler."""

from __future__ import annotations

import collections
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax


def device_time(call: Callable[[], Any]) -> dict[str, Any]:
    """Profiles one `call`: seconds, the share in which the device was busy, the number of operations, the slowest.

    Profiling slows the host's launches, so `seconds` is more than that of an unprofiled call.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            begun = time.perf_counter()
            jax.block_until_ready(call())
            seconds = time.perf_counter() - begun
        (file,) = Path(folder).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(file))
        events = [
            (event.start_ns, event.start_ns + event.duration_ns, event.name)
            for plane in data.planes
            if plane.name.startswith("/device:GPU")
            for line in plane.lines
            if line.name.startswith("Stream")
            for event in line.events
        ]
    if not events:
        return {"seconds": round(seconds, 4), "operations": 0}
    longest: collections.Counter[str] = collections.Counter()
    for start, end, name in events:
        longest[name[:60]] += end - start
    busy = covered((start, end) for start, end, _ in events)
    return {
        "seconds": round(seconds, 4),
        "operations": len(events),
        "busy_share": round(busy / 1e9 / seconds, 3),
        "busy_share_between_first_and_last": round(
            busy / (max(end for _, end, _ in events) - min(start for start, _, _ in events)), 3
        ),
        "longest_ms": {name: round(ns / 1e6, 2) for name, ns in longest.most_common(10)},
    }


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
