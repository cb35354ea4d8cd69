"""Trains MuZero, which also learns the rules, in any environment; only its name is needed.

    python experiments/muzero.py --env gymnax:CartPole-v1
    python experiments/muzero.py --env tic_tac_toe --algorithm muzero    PUCT and visit counts instead of Gumbel
    python experiments/muzero.py --env my_game:MyGame --minutes 30

For games of one player, or of two whose rewards sum to zero. As in `alphazero.py` all sizes follow from the
environment. The last line is the strength that `jzero.evaluate.strength` measures: with one player, the mean return
of 50 episodes.
"""

from __future__ import annotations

from jzero.evaluate import strength
from jzero.run.cli import main
from jzero.run.presets import suited

if __name__ == "__main__":
    main("muzero", suited("gumbel_muzero", "muzero"), measure=strength.measure, final=strength.final)
