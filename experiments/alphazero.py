"""Trains AlphaZero in any environment; only its name is needed.

    python experiments/alphazero.py --env connect_four
    python experiments/alphazero.py --env my_game:MyGame --minutes 30
    python experiments/alphazero.py --env "quoridor?size=5" --games 1024 --network.width 384

The search plans with the environment itself. Random games measure the length of a game, its rewards and its
observations; the rules in `jzero/run/presets.py` turn that into settings, and every option overrides one. The last
line is the strength that `jzero.evaluate.strength` measures: with two players, the score against Monte-Carlo tree
search with random rollouts.
"""

from __future__ import annotations

from jzero.evaluate import strength
from jzero.run.cli import main
from jzero.run.presets import suited

if __name__ == "__main__":
    main("alphazero", suited("alphazero"), measure=strength.measure, final=strength.final)
