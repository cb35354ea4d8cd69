"""Trains Hex on 5 x 5 and proves from how many of the winning first moves it never loses.

    python experiments/hex.py                       20 minutes
    python experiments/hex.py --env "hex?size=4"

An exact solver finds the first moves that win. After each of them the agent, with 64 simulations and proofs,
goes on as the first player against every possible reply: the last line is the share of these first moves from which
no opponent wins. All are proved together, since games that begin differently meet in the same positions; only after
a loss is each proved alone. The proof takes longer than the training: about an hour on one core. While it trains,
strength is the score against the solver's perfect play, in both seats, from openings of 0 to 3 random plies.
"""

from __future__ import annotations

from dataclasses import replace

import jax
from jzero_envs.hex import Hex
from players.hex import LARGEST, perfect
from players.hex_solver import HexSolver

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.exact import prove_never_loses
from jzero.evaluate.measures import Measure, Strength, score_against
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

SIMULATIONS = 64
MOST_POSITIONS = 5_000_000
"""Limit on distinct positions after the same number of plies."""

PRESET = RunConfig(
    minutes=20,
    evaluate_every=120,
    train=TrainConfig(
        env="hex?size=5",
        search=SearchSettings(
            policy="gumbel", num_simulations=32, rescale_values=False, value_scale=0.2, cache=2**16
        ),
        network=NetworkSettings(kind="mlp", width=256, blocks=3),
        games=512,
        plies=8,
        opening_plies=3,
        random_move_fraction=0.1,
        td_lambda=0.8,
        replay_plies=256,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
    ),
)


def score(env: Env) -> Measure:
    """Makes the measurement during training."""
    return score_against(
        perfect(env), "perfect play", games=64, at_once=64, num_simulations=SIMULATIONS, opening_plies=(0, 3)
    )


def share_never_lost(env: Env) -> Measure:
    """Makes the measurement at the end, and prints the result for each first move."""
    if not isinstance(env, Hex) or env.swap or env.size > LARGEST:
        raise ValueError(f"env is {env}; the proof is for Hex without the swap: use hex?size={LARGEST}")

    def measure(agent: Agent) -> Strength:
        solving = agent.with_search(replace(agent.search, solve=True))

        def act(states: object) -> jax.Array:
            return solving.act(states, jax.random.key(0), num_simulations=SIMULATIONS)

        def lost(*first: int) -> tuple[int, ...] | None:
            """A lost game after one of these first moves, or None."""
            openings = [[cell] for cell in first]
            proof = prove_never_loses(
                env, act, openings=openings, seats=(0,), until_lost=True, max_positions=MOST_POSITIONS
            )
            return proof.seats[0].lost_game

        winning = HexSolver(env.size).winning_moves((0, 0), 0)
        never = len(winning)
        if lost(*winning):
            games = [lost(cell) for cell in winning]
            for cell, game in zip(winning, games, strict=True):
                print(f"first move {cell}: {f'loses {list(game)}' if game else 'never loses'}", flush=True)
            never = sum(game is None for game in games)
        share = never / len(winning)
        name = (
            f"share of {len(winning)} winning first moves after which no reply wins, {SIMULATIONS} simulations "
            "with proofs"
        )
        return Strength(name, share, share, share)

    return measure


if __name__ == "__main__":
    main("hex", PRESET, measure=score, final=share_never_lost)
