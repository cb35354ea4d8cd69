"""What presets become on a GPU or TPU, or on a CPU with matrix units: the rules, in one place. `docs/choosing.md`
says why.

Options win over a preset, and a resumed run goes on as it began.
"""

from __future__ import annotations

import math
from dataclasses import replace

import jax

from jzero.devices import has_matrix_units
from jzero.run.config import TrainConfig

ROWS = 4096
"""Rows of the network's batches from which on an H100's throughput grew little for a tower of 6 x 64."""
MOST = 16
"""Times as many games at most."""
WIDE = 256
"""Width of an MLP from which products in bfloat16 take less than half of its time on a CPU."""


def on_this_device(train: TrainConfig) -> TrainConfig:
    """A preset as this device computes it: on a GPU or TPU widened and in bfloat16."""
    return on_this_cpu(train) if jax.default_backend() == "cpu" else in_bfloat16(widened(train))


def on_this_cpu(train: TrainConfig) -> TrainConfig:
    """With matrix units, products of AlphaZero's wide dense layers are in bfloat16.

    Learned models stay in float32: what they unroll adds up the rounding.
    """
    network = train.network
    wide = train.algorithm == "alphazero" and network.kind == "mlp" and network.width >= WIDE
    if network.bf16 or not (wide and has_matrix_units()):
        return train
    return replace(train, network=replace(network, bf16_products=True))


def in_bfloat16(train: TrainConfig) -> TrainConfig:
    """Networks compute in bfloat16, which matrix units are made for."""
    return replace(train, network=replace(train.network, bf16=True))


def widened(train: TrainConfig) -> TrainConfig:
    """As many games side by side as fill the batches of the network.

    Positions are learned from as often as before, in batches up to 4 times as large. Where they are learned from
    before their games end, the replay holds at most 4 times as many.
    """
    rows = train.games * train.search.worlds
    times = min(MOST, 2 ** max(0, math.ceil(math.log2(ROWS / rows))))
    larger = min(times, 4)
    wide = replace(
        train,
        games=train.games * times,
        batch_size=train.batch_size * larger,
        updates=train.updates * times // larger,
    )
    if train.algorithm == "alphazero":
        lookahead = train.td_lookahead
    else:
        lookahead = train.muzero.td_steps and train.muzero.unroll_steps + train.muzero.td_steps
    if not lookahead:
        return wide
    kept = max(train.replay_plies * larger // times, lookahead + 1)
    return replace(wide, replay_plies=math.ceil(kept / train.plies) * train.plies)
