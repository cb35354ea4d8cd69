"""Exports against the library: ONNX models on 1,000 positions, and the offline page in matches.

    python experiments/benchmarks/export.py --runs runs/connect_four/20261121-101500 --out export_cpu.json

For each game and network with random weights, and for each run: the largest difference in a probability and in a
value between ONNX Runtime and JAX, on positions of random play, in batches of 1 and 64. For each run: matches of
the agent with PUCT, and of its page's search (in node, with the page's weights), against tree search with random
rollouts; agent and page have equal simulations. Needs `pip install -e ".[export,test]"` and node.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import tyro
from hardware import provenance, tell

from jzero.env_spec import describe
from jzero.evaluate.arena import play_match
from jzero.evaluate.players import agent_player, rollouts
from jzero.evaluate.turns import Player
from jzero.export import RootNetwork, onnx, root_network
from jzero.export.html import page_data, write_html
from jzero.export.node import page_player
from jzero.export.root import random_observations
from jzero.networks.make import NetworkSettings, policy_value_network
from jzero.registry import make
from jzero.run.load import load, read_config

GAMES = ("tic_tac_toe", "connect_four", "quoridor?size=5&walls=3", "pgx:othello", "pgx:go_9x9")
NETWORKS = {
    "mlp": NetworkSettings(width=128, blocks=2),
    "resnet, layer": NetworkSettings("resnet", width=32, blocks=3),
    "resnet, group": NetworkSettings("resnet", width=32, blocks=3, norm="group"),
    "resnet, none": NetworkSettings("resnet", width=32, blocks=3, norm="none"),
}


@dataclass(frozen=True)
class Config:
    """What to compare."""

    runs: tuple[Path, ...] = ()
    """Runs of tic-tac-toe, Connect Four and Quoridor."""
    positions: int = 1000
    """Positions of random play."""
    matches: int = 20
    """Games per match."""
    simulations: int = 64
    """Simulations per move of the agent and of the page."""
    rollouts: int = 100
    """Simulations per move of their opponent."""
    seed: int = 0
    """Seed of weights, positions and matches."""
    out: Path | None = None
    """Where to write the result as JSON."""


def random_network(name: str, settings: NetworkSettings, seed: int) -> RootNetwork:
    """A network with random weights in its last layers too."""
    spec = describe(make(name), name)
    network, key = policy_value_network(spec, settings), jax.random.key(seed)
    leaves, treedef = jax.tree.flatten(jax.jit(network.init)(key, spec.seen(key)))
    keys = jax.random.split(key, len(leaves))
    shaken = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return root_network(spec, network, treedef.unflatten(shaken))


def difference(net: RootNetwork, config: Config) -> dict[str, float]:
    """Largest differences between the ONNX model and JAX."""
    observation = random_observations(net, config.positions, config.seed)
    policy, value = onnx.compare(net, onnx.convert(net), observation)
    return {"policy": policy, "value": value}


def play(run: Path, config: Config) -> dict[str, Any]:
    """A run's page, and the scores of the agent and of the page against the opponent."""
    agent, (train, _) = load(run), read_config(run)
    page = run / "offline.html"
    written = write_html(page, agent.env, train.network, agent.params, train.search)
    spec = describe(agent.env, train.env)
    network = policy_value_network(spec, train.network)
    net = root_network(spec, network, agent.params)
    prepared = network.prepare(agent.params, jax.eval_shape(lambda: spec.seen(jax.random.key(0))))
    search = replace(train.search, policy="puct", reuse=False, cache=0)
    data = page_data(agent.env, train.network, prepared, search, bits=written.bits)
    players: dict[str, Player] = {
        "agent": agent_player(agent.with_search(search), config.simulations),
        "page": page_player(data, config.simulations),
    }
    opponent = rollouts(agent.env, config.rollouts).player
    scores = {}
    for name, player in players.items():
        found = play_match(
            agent.env,
            player,
            opponent,
            num_games=config.matches,
            key=jax.random.key(config.seed),
            opening_plies=(0, 2),
        )
        scores[name] = {"score": found.score, "interval": list(found.interval)}
    return {
        "env": train.env,
        "trained_minutes": read_minutes(run),
        "network": asdict(train.network),
        "onnx": difference(net, config),
        "page": written._asdict(),
        "score_against_rollouts": scores,
    }


def read_minutes(run: Path) -> float:
    """The minutes that a run was started with."""
    return json.loads((run / "config.json").read_text())["config"]["minutes"]


def main(config: Config) -> None:
    """Compares, prints and writes."""
    result: dict[str, Any] = {
        "benchmark": "export",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python experiments/benchmarks/export.py", *sys.argv[1:]]),
        "config": {name: value for name, value in asdict(config).items() if name not in ("out", "runs")},
        **provenance(),
        "onnx_with_random_weights": {},
        "runs": [],
    }
    for game in GAMES:
        result["onnx_with_random_weights"][game] = {
            name: difference(random_network(game, settings, config.seed), config)
            for name, settings in NETWORKS.items()
        }
    result["runs"] = [play(run, config) for run in config.runs]
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
