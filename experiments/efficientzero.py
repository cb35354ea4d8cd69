"""Trains EfficientZero, which needs few environment steps, in any environment that MuZero supports.

    python experiments/efficientzero.py --env gymnax:Breakout-MinAtar
    python experiments/efficientzero.py --env ale:pong --minutes 600
    python experiments/efficientzero.py --env gymnax:Pendulum-v1 --algorithm efficientzero_v2

MuZero with a value prefix, consistency of unrolled and observed latent states and, with one player, reanalysed and
prioritised replay; EfficientZero V2, for one player, with its mixed value target too. As in `muzero.py`, all
settings follow from the environment.
"""

from __future__ import annotations

from jzero.evaluate import strength
from jzero.run.cli import main
from jzero.run.presets import suited

if __name__ == "__main__":
    presets = suited("efficientzero", "efficientzero_v2")
    main("efficientzero", presets, measure=strength.measure, final=strength.final)
