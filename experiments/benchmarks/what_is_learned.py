"""What a learned model does not know of Connect Four: its weights, searched with more and more help of the rules.

    python experiments/benchmarks/what_is_learned.py RUN
    python experiments/benchmarks/what_is_learned.py RUN --simulations 256 --out result.json

Each row adds to the one before: the policy alone; the search in the learned model; the legal actions at every node;
the game's rewards; its ends; latent states that are represented anew from each node's observation. A step up says
what the row before lacks. On the 500 tuning positions of either set: the share of moves that keep the value.

Then, after 0 to 3 random moves from these positions: of the moves that win, and of the others, the share whose
predicted reward is above one half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import jax
import numpy as np
import tyro
from hardware import provenance, tell
from strength import DATA, FILES

import jzero
from jzero.agent import Agent
from jzero.algorithms.muzero import make_learned
from jzero.env import observe_batch, step_batch
from jzero.env_spec import EnvSpec, describe
from jzero.evaluate.batches import in_batches
from jzero.evaluate.positions import grade_actions, load_positions, positions_states
from jzero.models.learned import LearnedModel, learned_model
from jzero.models.model import Model, make_edge, mask_logits
from jzero.networks import LearnedNetwork
from jzero.run.build import build_network
from jzero.run.load import read_config
from jzero.search import RecurrentFnOutput, RootFnOutput


@dataclass(frozen=True)
class Config:
    """A run and its search."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a run of MuZero in Connect Four, without value prefix and chance codes."""
    simulations: int = 64
    """Simulations per search."""
    out: Path | None = None
    """JSON file for the result."""


def helped(spec: EnvSpec, learned: LearnedModel, *, rewards: bool, ends: bool, anew: bool) -> Model:
    """The learned model with the game's legal actions, and with its rewards, its ends and new latent states.

    A node's embedding is (state of the game, latent state).
    """
    plain = learned_model(spec, learned)
    edge = make_edge(spec, abs(learned.discount))

    def root(params: Any, states: Any) -> RootFnOutput:
        found = plain.root(params, states)
        embedding = states, found.embedding
        return RootFnOutput(prior_logits=found.prior_logits, value=found.value, embedding=embedding)

    def recurrent(params: Any, key: jax.Array, action: jax.Array, node: Any) -> tuple[RecurrentFnOutput, Any]:
        states, latent = node
        after = step_batch(spec.env, states, action, key)
        found, latent = plain.recurrent(params, key, action, latent)
        heads: Any = found
        if anew:
            heads = learned.root(params, observe_batch(spec.env, after), after.legal_action_mask)
            latent = heads.embedding
        reward, discount = edge(states, after)
        output = RecurrentFnOutput(
            reward=reward if rewards else found.reward,
            discount=discount if ends else found.discount,
            prior_logits=mask_logits(heads.prior_logits, after.legal_action_mask),
            value=heads.value,
        )
        return output, (after, latent)

    return plain._replace(root=root, recurrent=recurrent)


def searches(agent: Agent, spec: EnvSpec, learned: LearnedModel) -> Iterator[tuple[str, Agent]]:
    """(what the search has, agent), each with more help than the one before."""
    yield "learned model", agent
    helps = {"rewards": False, "ends": False, "anew": False}
    for name, more in {
        "legal actions": {},
        "rewards": {"rewards": True},
        "ends": {"ends": True},
        "new latent states": {"anew": True},
    }.items():
        helps |= more
        yield name, Agent(agent.env, helped(spec, learned, **helps), agent.params, agent.search)


def wins_seen(agent: Agent, spec: EnvSpec, learned: LearnedModel, states: Any) -> Iterator[dict[str, Any]]:
    """The shares of predicted rewards above 1/2, after each number of random moves that the model unrolled."""
    edge, rng = make_edge(spec, 1.0), np.random.default_rng(0)

    @jax.jit
    def step(latent: Any, states: Any, action: jax.Array) -> tuple[Any, Any, jax.Array, jax.Array]:
        after = step_batch(spec.env, states, action, jax.random.key(0))
        latent, logits = learned.step(agent.params, latent, action)
        return latent, after, edge(states, after)[0], learned.reward.decode(logits)

    latent = learned.represent(agent.params, observe_batch(spec.env, states))
    for moves in range(4):
        legal = np.asarray(states.legal_action_mask & ~states.terminated[:, None])
        tried = [step(latent, states, np.full(len(legal), action, np.int32))[2:] for action in range(7)]
        earned, said = (np.stack(numbers, axis=1)[legal] for numbers in zip(*tried, strict=True))
        wins = earned > 0.5
        yield {
            "random moves": moves,
            "winning moves": int(wins.sum()),
            "seen": round(float((said[wins] > 0.5).mean()), 3),
            "others taken for wins": round(float((said[~wins] > 0.5).mean()), 4),
        }
        weights = legal + 1e-9  # a finished game has no legal move
        action = np.array([rng.choice(7, p=row / row.sum()) for row in weights], np.int32)
        latent, states, *_ = step(latent, states, action)


def main(config: Config) -> None:
    """Prints each number as it comes, and writes all."""
    agent, (train, _) = jzero.load(config.run), read_config(config.run)
    spec = describe(agent.env)
    learned = make_learned(spec, cast(LearnedNetwork, build_network(spec, train)), train)
    sets = [load_positions(DATA / file, agent.env) for file in FILES]
    states = [jax.device_get(positions_states(agent.env, positions)) for positions in sets]
    rows: list[dict[str, Any]] = []
    for name, searcher in [("policy alone", agent), *searches(agent, spec, learned)]:
        number = 0 if name == "policy alone" else config.simulations
        act: Callable = partial(searcher.act, key=jax.random.key(0), num_simulations=number)
        for positions, those in zip(sets, states, strict=True):
            found = grade_actions(positions, in_batches(act, those, 250))
            share, *interval = (round(x, 3) for x in (found.score, found.low, found.high))
            row = {"search": name, "positions": positions.name, "share": share, "interval": interval}
            print(row, flush=True)
            rows.append(row)
    wins = []
    for positions, those in zip(sets, states, strict=True):
        wins += [{"positions": positions.name} | row for row in wins_seen(agent, spec, learned, those)]
    result = {"run": config.run.name, "simulations": config.simulations, "rows": rows, "wins": wins}
    tell(result | provenance(), config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
