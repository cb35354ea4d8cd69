"""XLA's options for the compiled programs; those in the user's XLA_FLAGS come first."""

from __future__ import annotations

import os

import jax
from jax.sharding import Mesh

GRAPH_OPTION = "xla_gpu_enable_command_buffer"
GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,CONVOLUTION"
"""Operations in CUDA graphs: XLA's defaults plus convolutions, so that the host launches a simulation with its
network at once. Without convolutions it launches every layer separately."""
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
"""Stops XLA's CPU compiler from removing `jax.lax.optimization_barrier` before fusion."""


def compiler_options(mesh: Mesh, *, loops: bool = False) -> dict[str, str] | None:
    """XLA's options for a program on `mesh`: CUDA graphs on NVIDIA GPUs.

    With `loops`, graphs also hold loops of unknown length, which the host would drive otherwise (pgx's Go counts
    its stones with one). This is enabled where results were verified to be the same: on Hopper with jax 0.11.2.
    """
    device = mesh.devices.flat[0]
    if "NVIDIA" not in device.device_kind:
        return None
    capability = float(getattr(device, "compute_capability", 0))
    loops = loops and capability >= 9 and jax.__version_info__ >= (0, 11, 2)
    return unless_chosen({GRAPH_OPTION: GRAPHS + ",WHILE" * loops})


def unless_chosen(options: dict[str, str]) -> dict[str, str] | None:
    """XLA's `options` without those in the user's XLA_FLAGS, so that the user's take effect."""
    flags = {flag.lstrip("-").partition("=")[0] for flag in os.environ.get("XLA_FLAGS", "").split()}
    return {name: value for name, value in options.items() if name not in flags} or None
