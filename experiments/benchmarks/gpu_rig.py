"""Shared by the steps of gpu.py: compiled programs, the deadline, and timing.

Nothing is compiled during a measurement: XLA times algorithms for products and convolutions on the GPU while it
compiles, which makes calls take 100 ms longer. For the same reason programs with products are compiled one by one,
all others side by side.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Literal, NamedTuple, cast

import jax

from jzero import search
from jzero.program import Program
from jzero.search.engines import Engine

Options = Mapping[str, str | int]

GRAPHS: Options = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,"
    "WHILE,CONVOLUTION",
    "xla_gpu_graph_min_graph_size": 1,
}
"""CUDA graphs hold loops and convolutions too, so that the GPU runs a loop without the host.

By default XLA makes no graph of fewer than five operations, such as a program that is one loop."""
NO_GRAPHS: Options = {"xla_gpu_enable_command_buffer": ""}
"""Every kernel is launched by the host."""


class Mode(NamedTuple):
    """How a search runs on a GPU."""

    engine: Engine
    """The argument of `jzero.search.engine` while the program is traced."""
    options: Options | None
    """XLA's options."""


MODES = {
    "walk": Mode("walk", None),
    "walk, graphs": Mode("walk", GRAPHS),
    "kernels": Mode("kernels", None),
    "kernels, graphs": Mode("kernels", GRAPHS),
}
USUAL = {"default": Mode("auto", None), "default, graphs": Mode("auto", GRAPHS)}
"""The defaults, and the same with graphs."""


class Skipped(Exception):
    """A measurement was skipped; this is not a failure."""


class Cell(NamedTuple):
    """One measurement of a step."""

    labels: dict[str, Any]
    """What is measured: sizes and names."""
    measure: Callable[[], dict[str, Any]]
    """Measures it; the pool has its programs already."""


def on_gpu() -> bool:
    """JAX's first device is a GPU."""
    return jax.default_backend() == "gpu"


def short(error: BaseException) -> str:
    """An exception on one line, with the innermost frames of its traceback."""
    if isinstance(error, Skipped):
        return f"skipped: {error}"
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = ", ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__}: {str(error)[:400]} ({places})"


class Lazy:
    """A `Future` that calls `make` when its result is first requested."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.result_of = functools.cache(make)

    def result(self, timeout: float | None = None) -> Any:
        """What `make` returns. A `timeout` does not stop it, but `make` does not start if that is nearly 0."""
        if timeout is not None and timeout < 1:
            raise TimeoutError
        return self.result_of()


class Rig:
    """Compiles programs and keeps the time."""

    def __init__(self, *, tiny: bool, minutes: float) -> None:
        self.tiny = tiny
        self.begun = time.monotonic()
        self.end = self.begun + 60 * minutes
        self.deadline = self.end  # of the current step
        self.side_by_side = True
        """Compile in a pool; else compile each program when it is first requested."""
        self._pool = ThreadPoolExecutor(max(2, min(12, (os.cpu_count() or 2) - 4)))
        self._begun: list[Future] = []

    def later(self, make: Callable[[], Any]) -> Future | Lazy:
        """What `make` returns, run in the pool or on request."""
        if not self.side_by_side:
            return Lazy(make)
        self._begun.append(self._pool.submit(make))
        return self._begun[-1]

    def settle(self) -> None:
        """Waits for the pool, at most until the step's deadline."""
        wait(self._begun, timeout=max(0.1, self.left()))

    def left(self) -> float:
        """Seconds until the current step's deadline."""
        return self.deadline - time.monotonic()

    def compile(
        self, lower: Callable[[], jax.stages.Lowered], options: Options | None = None
    ) -> Future | Lazy:
        """Traces now and compiles `later`; `options` are a GPU's."""
        return self.compile_modes(lower, {"": Mode("auto", options)})[""]

    def compile_modes(
        self, lower: Callable[[], jax.stages.Lowered], modes: Mapping[str, Mode]
    ) -> dict[str, Future | Lazy]:
        """The program of `lower` in each mode; `lower` is called once per engine and must trace again each time."""
        lowered: dict[Engine, jax.stages.Lowered | Exception] = {}
        programs: dict[str, Future | Lazy] = {}
        futures = {}
        for name, mode in modes.items():
            if mode.engine not in lowered:
                lowered[mode.engine] = _lowered(lower, mode.engine)
            options = mode.options if on_gpu() else None  # a CPU has none of them
            same = f"{mode.engine} {options}"
            if same not in programs:
                programs[same] = self.later(functools.partial(_compiled, lowered[mode.engine], options))
            futures[name] = programs[same]
        return futures

    def ready(self, futures: Mapping[str, Future | Lazy]) -> tuple[dict[str, Any], dict[str, str]]:
        """(the finished programs, why the others are missing), by name."""
        made, missing = {}, {}
        for name, future in futures.items():
            try:
                made[name] = future.result(timeout=max(0.1, self.left()))
            except TimeoutError:
                missing[name] = "skipped: not compiled in time"
            except Exception as error:
                missing[name] = short(error)
        return made, missing

    def median(self, call: Callable[[], Any], rounds: int = 7) -> float:
        """Median seconds of `call`, after one that is not timed."""
        return self.medians({"": call}, rounds)[""]

    def medians(self, calls: Mapping[str, Callable[[], Any]], rounds: int = 7) -> dict[str, float]:
        """Median seconds of each call; the calls take turns. The first round is not timed, at least one is."""
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for number in range((1 if self.tiny else rounds) + 1):
            if number > 1 and self.left() < 0:
                break
            for name, call in calls.items():
                begun = time.perf_counter()
                jax.block_until_ready(call())
                if number:
                    seconds[name].append(time.perf_counter() - begun)
        return {name: statistics.median(times) for name, times in seconds.items()}


def lower(program: Program, name: Literal["init", "play", "learn"]) -> jax.stages.Lowered:
    """One of the functions of a run, traced."""
    function: Any = getattr(program, name)  # under `jax.jit`, which its type does not say
    return function.lower() if name == "init" else function.lower(program.abstract)


def _lowered(lower: Callable[[], jax.stages.Lowered], name: Engine) -> jax.stages.Lowered | Exception:
    """The traced program, or the exception: the other programs are measured all the same."""
    try:
        with search.engine(name):
            return lower()
    except Exception as error:
        return error


def _compiled(lowered: jax.stages.Lowered | Exception, options: Options | None) -> Any:
    if isinstance(lowered, Exception):
        raise lowered
    return lowered.compile(compiler_options=cast(Any, options))
