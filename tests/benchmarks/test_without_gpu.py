"""What a GPU would run, read in XLA's dump: recorded dumps, and small programs compiled here."""

import subprocess
import sys

import pytest

from experiments.benchmarks import without_gpu
from experiments.benchmarks.without_gpu import Cost, annotate, cost, find_loop, parse
from tests.helpers.tiny import REPOSITORY, child_environment

# Of jax 0.11.2 for an H100, shortened: nine iterations, each with a conditional and a loop of unknown trip count.
SEQUENCE = """\
001: kCopy         [source       | next=004 (3)] kCopy
003: kCustomKernel [source       | next=004 (1)] loop_broadcast_fusion grid: [1, 1, 1] threads: [9, 1, 1]
004: kWhile        [prev=003 (1) | sink        ]   \n\
condition:
    005: kCustomKernel [source | sink] loop_compare_fusion_1 grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    006: kAsyncStart   [source       | next=017 (4)] stream=computation_stream[0], async_id=6
        008: kDynamicSliceFusion [source | sink] params=1, results=1
            007: kCopy [source | sink] kCopy
    009: kCustomKernel [source       | next=015 (1)] loop_compare_fusion_2 grid: [1, 1, 1] threads: [1, 1, 1]
    015: kConditional  [prev=009 (1) | next=017 (2)]       \n\
      false_branch:
        010: kCustomKernel [source       | next=011 (1)] wrapped_sine grid: [8, 1, 1] threads: [128, 1, 1]
        011: kCopy         [prev=010 (1) | next=012 (1)] kCopy
        012: kCustomKernel [prev=011 (1) | sink        ] sort_6_1 grid: [1, 1, 1] threads: [256, 1, 1]
      true_branch:
        013: kCustomKernel [source       | next=014 (1)] loop_reduce_window_fusion grid: [8, 1, 1]
        014: kCustomKernel [prev=013 (1) | sink        ] loop_add_fusion_1 grid: [8, 1, 1] threads: [128, 1, 1]
    016: kAsyncDone    [source       | sink        ] async_id=6
    017: kWhile        [prev=015 (2) | next=023 (2)]       \n\
condition:
        018: kCustomKernel [source | sink] loop_compare_fusion grid: [1, 1, 1] threads: [1, 1, 1]
      body:
        019: kCustomKernel [source       | next=020 (1)] loop_add_fusion grid: [8, 1, 1] threads: [128, 1, 1]
        020: kCustomKernel [prev=019 (1) | next=021 (1)] input_reduce_fusion grid: [1, 1, 1] threads: [64, 1, 1]
    023: kCopy         [prev=017 (2) | sink        ] kCopy
"""
METADATA = """\
thunk_metadata {
  thunk_info {
    profile_annotation: "while.16"
    thunk_id: 4
  }
  thunk_kind: "kWhile"
}
thunk_metadata {
  thunk_info {
    profile_annotation: "cond.1.clone"
    thunk_id: 15
  }
  thunk_kind: "kConditional"
}
thunk_metadata {
  thunk_info {
    profile_annotation: "while.9"
    thunk_id: 17
  }
  thunk_kind: "kWhile"
}
"""
PROGRAM = """\
HloModule jit_nested, is_scheduled=true

FileNames
1 "/somewhere/probe.py"

FunctionNames
1 "<module>"
3 "nested"
7 "data.<locals>.<lambda>"

FileLocations
3 {file_name_id=1 function_name_id=3 line=13 end_line=13 column=22 end_column=78}
10 {file_name_id=1 function_name_id=7 line=11 end_line=11 column=20 end_column=128}

StackFrames
3 {file_location_id=3 parent_frame_id=3}
11 {file_location_id=10 parent_frame_id=14}

%region_0.11 {
  %while.9 = f32[1024]{0} while(%cond.1.clone#0), condition=%region_6.9, metadata={stack_frame_id=11}
}
  %while.16 = (s32[], f32[1024]{0}) while(%tuple.12), condition=%region_7.12, body=%region_0.11, \
metadata={stack_frame_id=3}, backend_config={"known_init_step":{"init":"0"},"known_trip_count":{"n":"9"}}
"""


@pytest.fixture
def recorded():
    thunks = parse(SEQUENCE)
    annotate(thunks, METADATA, PROGRAM)
    return thunks


def in_a_graph(sequence):
    """The body of the outer loop inside of a CUDA graph, as XLA's passes leave it."""
    head, body = sequence.split("  body:\n", 1)
    held = "".join(
        line if line == "condition:\n" else f"    {line}" for line in body.splitlines(keepends=True)
    )
    return f"{head}  body:\n    000: kCommandBuffer [source | sink] \n{held}"


def test_thunks_hold_what_is_indented_below_them(recorded):
    assert [thunk.number for thunk in recorded] == [1, 3, 4]
    loop = recorded[-1]
    assert [thunk.number for thunk in loop.parts["condition"]] == [5]
    assert [thunk.number for thunk in loop.parts["body"]] == [6, 9, 15, 16, 17, 23]
    inner = loop.parts["body"][4]
    assert [thunk.number for thunk in inner.parts["condition"]] == [18]
    assert [thunk.number for thunk in inner.parts["body"]] == [19, 20]
    assert [len(part) for part in loop.parts["body"][2].parts.values()] == [3, 2]


def test_a_loop_knows_its_trip_count_and_its_source(recorded):
    outer, inner = [thunk for thunk in without_gpu.walk(recorded) if thunk.kind == "kWhile"]
    assert (outer.trips, outer.where) == (9, "nested, probe.py:13")
    assert (inner.trips, inner.where) == (None, "<lambda>, probe.py:11")


def test_a_loop_of_unknown_trip_count_is_counted_apart(recorded):
    loop, in_graph = find_loop(recorded, 9)
    assert not in_graph
    found = cost(loop.parts["body"])
    (inner,) = found.loops
    assert inner == without_gpu.Loop("<lambda>, probe.py:11", Cost(kernels=3), in_graph=False)
    # A copy, the conditional's predicate, its longer branch (two kernels and a copy), a copy at the end.
    assert (found.kernels, found.copies, found.graphs, found.conditionals) == (3, 3, 0, 1)


def test_a_loop_of_known_trip_count_counts_as_often(recorded):
    found = cost(recorded)
    assert (found.kernels, found.copies, found.conditionals) == (1 + 9 * 3, 1 + 9 * 3, 9)
    assert len(found.loops) == 1
    outside = cost(recorded, leave_out=find_loop(recorded, 9)[0])
    assert outside == Cost(kernels=1, copies=1)


def test_in_a_graph_the_host_waits_for_nothing():
    thunks = parse(in_a_graph(SEQUENCE))
    annotate(thunks, METADATA, PROGRAM)
    loop, _ = find_loop(thunks, 9)
    found = cost(loop.parts["body"])
    assert (found.kernels, found.copies, found.graphs, found.conditionals) == (3, 3, 1, 0)
    assert [inner.in_graph for inner in found.loops] == [True]


# A loop with static bounds, and one that ends by what it computes.
COMPILE = """if True:
    import pathlib, sys
    import jax, jax.numpy as jnp
    from experiments.benchmarks.without_gpu import abstract, cost, device, read, tracing

    def static(x):
        return jax.lax.fori_loop(0, 37, lambda i, x: jnp.sort(jnp.sin(x) + i), x)

    def dependent(x):
        return jax.lax.while_loop(lambda x: x[0] < 3, lambda x: jnp.sort(jnp.sin(x) + 1), x)

    target = device("h100")
    for function in (static, dependent):
        with tracing(target):
            jax.jit(function).lower(abstract(jnp.zeros(1024), target)).compile()
        found = cost(read(pathlib.Path(sys.argv[1]), function.__name__))
        print(function.__name__, found.kernels >= 37, [loop.in_graph for loop in found.loops])
"""


@pytest.mark.skipif(bool(without_gpu.missing_plugin()), reason=without_gpu.missing_plugin())
def test_a_loop_with_static_bounds_is_not_driven_by_the_host(tmp_path):
    environment = child_environment(tmp_path) | without_gpu.variables(tmp_path / "dump")
    del environment["JAX_DISABLE_MOST_OPTIMIZATIONS"]
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(tmp_path / "dump")],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["static True []", "dependent False [False]"], done.stderr[-2000:]
