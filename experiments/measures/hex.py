"""The strength of an agent in Hex: games against perfect play, and a proof that it never loses."""

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

SIMULATIONS = 64
MOST_POSITIONS = 5_000_000
"""Limit on distinct positions after the same number of plies."""


def against_perfect_play(env: Env) -> Measure:
    """Makes the measurement of games in both seats, from openings of 0 to 3 random plies."""
    return score_against(
        perfect(env), "perfect play", games=64, at_once=64, num_simulations=SIMULATIONS, opening_plies=(0, 3)
    )


def share_never_lost(env: Env) -> Measure:
    """Makes the measurement of the winning first moves after which no reply wins; prints those that lose."""
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
