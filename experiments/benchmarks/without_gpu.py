"""Compiles for an NVIDIA GPU on a machine without one, and reads from XLA's dump what that GPU would run.

Start the process with `variables`, and lower inside `tracing(device(card))`. For each program XLA dumps the
sequence of its thunks (kernels, copies, loops) and the optimised program, which has the trip counts of loops that
XLA knows. For other loops the host launches the condition, waits for its result and decides: the host drives the
loop. It also waits at conditionals. In a CUDA graph the GPU does both.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
from jax.experimental import topologies

Card = Literal["h100", "a100", "l4", "t4"]

COPIES = ("kCopy", "kMemzero", "kMemset32BitValue")
FREE = ("kAsyncDone", "kCopyDone", "kWaitForStreams", "kReplicaId", "kPartitionId")
"""Thunks that launch nothing."""


def variables(dump: Path) -> dict[str, str]:
    """Environment variables for a process that compiles for a GPU; XLA's dump goes to the folder `dump`."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={dump} --xla_dump_hlo_as_text"
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def missing_plugin() -> str:
    """What to install so that JAX compiles for NVIDIA GPUs; empty if nothing is missing."""
    if any(_installed("jax_plugins", f"xla_cuda{number}") for number in (12, 13)):
        return ""
    packages = (f"jax-cuda13-{part}=={jax.__version__}" for part in ("plugin", "pjrt"))
    return f"compiling for a GPU needs JAX's CUDA plugin: pip install --no-deps {' '.join(packages)}"


def _installed(package: str, module: str) -> bool:
    """Whether a package is installed and has this module."""
    return bool(importlib.util.find_spec(package) and importlib.util.find_spec(f"{package}.{module}"))


def device(card: Card) -> jax.Device:
    """A device of this kind to compile for."""
    text = (Path(__file__).parent / "targets" / f"{card}.txtpb").read_text()
    if jax.__version_info__ < (0, 11):
        text = re.sub(r"^ *collective_memory_granularity.*\n", "", text, flags=re.MULTILINE)
    return topologies.get_topology_desc(platform="cuda", target_config=text, topology="1x1x1").devices[0]


def tracing(device: jax.Device) -> AbstractContextManager[Any]:
    """The context for lowering for `device`, which Pallas's kernels need."""
    kind = jax.sharding.AbstractDevice(device.device_kind, None, "gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=kind))


def abstract(tree: Any, device: jax.Device) -> Any:
    """Shapes and dtypes of a pytree of arrays, on `device`."""
    place = jax.sharding.SingleDeviceSharding(device)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)


@dataclass
class Thunk:
    """One operation of XLA on a GPU."""

    number: int
    kind: str
    """XLA's name for it: kCustomKernel, kCopy, kWhile, kCommandBuffer (a CUDA graph)..."""
    parts: dict[str, list[Thunk]] = field(default_factory=dict)
    """Thunks inside it: condition and body of a loop, branches, content of a graph ("")."""
    trips: int | None = None
    """Trip count of a loop; None if XLA does not know it."""
    where: str = ""
    """Source of a loop or conditional."""


def parse(text: str) -> list[Thunk]:
    """The thunks of a dumped sequence. Thunks inside a thunk are indented by four more, a part's title by two."""
    found: list[Thunk] = []
    stack: list[tuple[int, Thunk, str]] = []  # (indent, thunk, the part being read)
    for line in text.splitlines():
        indent, said = len(line) - len(line.lstrip()), line.strip()
        thunk = re.match(r"(\d+): (k\w+)", said)
        if thunk:
            while stack and stack[-1][0] >= indent:
                stack.pop()
            one = Thunk(int(thunk[1]), thunk[2])
            siblings = stack[-1][1].parts.setdefault(stack[-1][2], []) if stack else found
            siblings.append(one)
            stack.append((indent, one, ""))
        elif said.endswith(":") and stack:
            # A condition follows its loop directly; its title is not indented.
            while said != "condition:" and len(stack) > 1 and stack[-1][0] >= indent:
                stack.pop()
            at, one, _ = stack.pop()
            stack.append((at, one, said.rstrip(":")))
    return found


def annotate(thunks: list[Thunk], metadata: str, program: str) -> None:
    """Adds `trips` and `where` from the dumped `thunk_metadata.txt` and the optimised program."""
    names = {
        int(number): name
        for name, number in re.findall(r'profile_annotation: "([^"]*)"\s*thunk_id: (\d+)', metadata)
    }
    lines = {
        found[1]: line
        for line in program.splitlines()
        if (found := re.match(r"\s*(?:ROOT )?%([\w.-]+) = .* (?:while|conditional)\(", line))
    }
    for thunk in walk(thunks):
        line = lines.get(names.get(thunk.number, ""), "") if thunk.kind in ("kWhile", "kConditional") else ""
        trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
        thunk.trips = int(trips[1]) if trips else None
        thunk.where = _place(line, program) if line else ""


def _place(line: str, program: str) -> str:
    """Function, file and line of the source of an instruction in the optimised program."""
    frame = re.search(r"stack_frame_id=(\d+)", line)
    if frame is None:
        name = re.search(r'op_name="([^"]*)"', line)
        return name[1] if name else ""

    def entry(table: str, number: str, pattern: str) -> Any:
        text = program[program.index(f"\n{table}\n") :]
        return re.search(rf"^{number} {pattern}", text, re.MULTILINE)

    location = entry("StackFrames", frame[1], r"\{file_location_id=(\d+)")[1]
    place = entry("FileLocations", location, r"\{file_name_id=(\d+) function_name_id=(\d+) line=(\d+)")
    file = entry("FileNames", place[1], r'"(?:.*/)?([^"]*)"')[1]
    function = entry("FunctionNames", place[2], r'"([^"]*)"')[1]
    return f"{function.split('.')[-1]}, {file}:{place[3]}"


def walk(thunks: list[Thunk]) -> Iterator[Thunk]:
    """All thunks, including those inside others."""
    for thunk in thunks:
        yield thunk
        for part in thunk.parts.values():
            yield from walk(part)


@dataclass
class Cost:
    """What one run of a sequence of thunks executes."""

    kernels: int = 0
    copies: int = 0
    graphs: int = 0
    """Launches of CUDA graphs, whose kernels and copies are counted too."""
    conditionals: int = 0
    """Conditionals at which the host waits; the longest branch of each is counted."""
    loops: list[Loop] = field(default_factory=list)
    """Loops of unknown trip count, not included in the other numbers."""

    def add(self, other: Cost, times: int = 1) -> None:
        """Adds `other`, `times` times; each of its loops is listed once."""
        self.kernels += times * other.kernels
        self.copies += times * other.copies
        self.graphs += times * other.graphs
        self.conditionals += times * other.conditionals
        self.loops += other.loops


@dataclass
class Loop:
    """A loop whose trip count XLA does not know."""

    where: str
    each: Cost
    """The cost of an iteration, condition included."""
    in_graph: bool
    """Whether a CUDA graph holds it; if not, the host waits at every iteration."""


def cost(thunks: list[Thunk], *, in_graph: bool = False, leave_out: Thunk | None = None) -> Cost:
    """The cost of a sequence of thunks.

    Args:
      thunks: a sequence.
      in_graph: whether a CUDA graph holds them.
      leave_out: a loop not to count.
    """
    total = Cost()
    for thunk in thunks:
        inside = in_graph or thunk.kind == "kCommandBuffer"
        parts = {name: cost(part, in_graph=inside, leave_out=leave_out) for name, part in thunk.parts.items()}
        if thunk is leave_out or thunk.kind in FREE:
            continue
        if thunk.kind == "kWhile" and thunk.trips is not None:
            total.add(parts.get("body", Cost()), thunk.trips)
        elif thunk.kind == "kWhile":
            each = Cost()
            for part in parts.values():
                each.add(part)
            total.loops.append(Loop(thunk.where, each, in_graph))
        elif thunk.kind == "kConditional":
            total.conditionals += not in_graph
            total.add(max(parts.values(), key=lambda part: part.kernels + part.copies, default=Cost()))
        elif parts:
            total.graphs += thunk.kind == "kCommandBuffer" and not in_graph
            for part in parts.values():
                total.add(part)
        elif thunk.kind in COPIES:
            total.copies += 1
        else:
            total.kernels += 1
    return total


def find_loop(thunks: list[Thunk], trips: int, *, in_graph: bool = False) -> tuple[Thunk, bool] | None:
    """The first loop with this trip count, outer loops first, and whether a CUDA graph holds it."""
    for thunk in thunks:
        if thunk.kind == "kWhile" and thunk.trips == trips:
            return thunk, in_graph
    for thunk in thunks:
        for part in thunk.parts.values():
            found = find_loop(part, trips, in_graph=in_graph or thunk.kind == "kCommandBuffer")
            if found is not None:
                return found
    return None


def read(dump: Path, name: str) -> list[Thunk]:
    """The thunks of the newest program of the jitted function `name` in the folder `dump`.

    Raises:
      FileNotFoundError: XLA dumped none.
    """
    programs = sorted(
        dump.glob(f"*.jit_{name}.*gpu_after_optimizations.txt"), key=lambda file: file.stat().st_mtime
    )
    if not programs:
        raise FileNotFoundError(f"{dump} holds no program of jit({name})")
    prefix = programs[-1].name.split(f".jit_{name}.")[0] + f".jit_{name}"
    final = (
        dump / f"{prefix}.thunk_sequence_after_thunk_passes.txt"
    )  # present only if a pass changed anything
    sequence = final if final.exists() else dump / f"{prefix}.thunk_sequence.txt"
    thunks = parse(sequence.read_text())
    annotate(thunks, (dump / f"{prefix}.thunk_metadata.txt").read_text(), programs[-1].read_text())
    return thunks
