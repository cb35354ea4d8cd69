"""How presets change on a GPU or TPU, or on a CPU with matrix units. `docs/choosing.md` gives the reasons.

Options override a preset, and a resumed run keeps its settings.
"""

from __future__ import annotations

import math
from dataclasses import replace

import jax

from jzero.devices import has_matrix_units
from jzero.run.config import TrainConfig

ROWS = 4096
"""Batch rows above which an H100's throughput grew little for a tower of 6 x 64."""
MOST = 16
"""Largest factor on the number of games."""
WIDE = 256
"""Width of an MLP from which matrix products in bfloat16 take less than half the time on a CPU."""


def on_this_device(train: TrainConfig) -> TrainConfig:
    """A preset for this device: on a GPU or TPU widened and in bfloat16."""
    return on_this_cpu(train) if jax.default_backend() == "cpu" else in_bfloat16(widened(train))


def on_this_cpu(train: TrainConfig) -> TrainConfig:
    """On a CPU with matrix units, AlphaZero's wide dense layers multiply in bfloat16.

    Learned models stay in float32: rounding errors add up over the unroll.
    """
    network = train.network
    wide = train.algorithm == "alphazero" and network.kind == "mlp" and network.width >= WIDE
    if network.bf16 or not (wide and has_matrix_units()):
        return train
    return replace(train, network=replace(network, bf16_products=True))


def in_bfloat16(train: TrainConfig) -> TrainConfig:
    """Networks compute in bfloat16, the format of matrix units."""
    return replace(train, network=replace(train.network, bf16=True))


def widened(train: TrainConfig) -> TrainConfig:
    """Raises the number of parallel games until they fill the network's batches.

    Each position is sampled as often as before, in batches up to 4 times as large. If positions are trained on
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
