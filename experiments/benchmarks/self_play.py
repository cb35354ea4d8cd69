"""Speed of Connect Four self-play and learning, against a program from pgx, mctx and flax (`peer.py`).

    python experiments/benchmarks/self_play.py --out experiments/benchmarks/results/self_play_cpu.json

All programs take turns in one process; medians of the rounds are reported. All use the same network, simulations,
games and minibatches. jzero runs without and with the evaluation cache, after some iterations of training: games of
an untrained network share few positions. On a shared machine, ratios of CPU time say more than those of wall time.
Needs pgx: `pip install -e ".[test]"`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jzero.devices import set_up

set_up(cache=None)  # before pgx, whose import starts jax

import flax.linen as nn  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import tyro  # noqa: E402
from hardware import provenance, tell  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402
from jzero_envs.connect_four import ConnectFour  # noqa: E402
from peer import Peer, PeerConfig, make_peer  # noqa: E402
from timing import Ours, network_alone, timed  # noqa: E402

from jzero.env import is_finished, observe_batch, step_batch  # noqa: E402
from jzero.models.plan import SearchSettings  # noqa: E402
from jzero.networks import PolicyValueNet, make_network  # noqa: E402
from jzero.networks.make import NetworkSettings  # noqa: E402
from jzero.program import AXIS, make_mesh  # noqa: E402
from jzero.run.build import build_algorithm  # noqa: E402
from jzero.run.config import TrainConfig  # noqa: E402
from jzero.self_play import start_games  # noqa: E402

ENV = ConnectFour()


@dataclass(frozen=True)
class Config:
    """What to measure."""

    games: int = 256
    """Games side by side (B)."""
    simulations: int = 32
    """Simulations per move (N)."""
    plies: int = 16
    """Plies per iteration (T)."""
    cache: int = 2**16
    """Places of the evaluation cache."""
    iterations: int = 8
    """Iterations of training before the first round."""
    rounds: int = 5
    """Timed repetitions; medians are reported."""
    out: Path | None = None
    """Where to write the result as JSON."""


NETWORKS = {
    "resnet 3 x 32": NetworkSettings(kind="resnet", width=32, blocks=3),
    "mlp 3 x 384": NetworkSettings(kind="mlp", width=384, blocks=3),
}


class SameNetwork(nn.Module):
    """The network of jzero behind the peer's interface, so that both use the same one."""

    network: PolicyValueNet

    def __call__(self, observation: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """(policy logits [B, A], values [B]) of boards [B, 6, 7, 2]."""
        del train
        return self.network(observation.astype(jnp.float32))


def train_config(config: Config, network: NetworkSettings, cache: int = 0) -> TrainConfig:
    """Settings of jzero: as many updates, of the same size, as the peer's single pass."""
    return TrainConfig(
        search=SearchSettings(num_simulations=config.simulations, cache=cache),
        network=network,
        games=config.games,
        plies=config.plies,
        replay_plies=4 * config.plies,
        batch_size=256,
        updates=config.games * config.plies // 256,
    )


class Theirs:
    """The same for the peer."""

    def __init__(self, config: PeerConfig, network: nn.Module) -> None:
        self.peer: Peer = make_peer(config, network)
        self.key = jax.random.key(0)
        self.state = self.peer.init(self.key)
        self.both()

    def both(self) -> Any:
        """Self-play and updates of one iteration."""
        self.key, key = jax.random.split(self.key)
        self.state, metrics = self.peer.iteration(self.state, key)
        return self.state, metrics


def against_peer(config: Config, name: str) -> dict[str, Any]:
    """Positions per second of self-play and learning, jzero and the peer in turn."""
    network = NETWORKS[name]
    train = train_config(config, network)
    base = PeerConfig(
        batch_size=config.games,
        num_simulations=config.simulations,
        window=config.plies,
        minibatch_size=train.batch_size,
        num_devices=1,
    )
    same = SameNetwork(make_network(network, ENV.num_actions))
    plain = Ours(ENV, train)
    contestants: dict[str, Ours | Theirs] = {
        "ours": plain,
        f"ours, cache {config.cache}": Ours(ENV, train_config(config, network, config.cache)),
    }
    for devices in sorted({1, len(jax.devices())}):
        contestants[f"peer, {devices} device(s)"] = Theirs(replace(base, num_devices=devices), same)
    for _ in range(config.iterations):
        for contestant in contestants.values():
            contestant.both()
    rounds: dict[str, list[tuple[float, float]]] = {who: [] for who in contestants}
    play: list[tuple[float, float]] = []
    for _ in range(config.rounds):
        for who, contestant in contestants.items():
            rounds[who].append(timed(contestant.both))
        play.append(timed(plain.play))
    positions, play_seconds = config.games * config.plies, statistics.median(wall for wall, _ in play)
    alone = network_alone(ENV, train, config.rounds)
    return {
        "network": name,
        "positions_per_second": _medians(rounds, lambda wall, _: round(positions / wall)),
        "positions_per_cpu_second": _medians(rounds, lambda _, cpu: round(positions / cpu)),
        "speed_over": {who: _ratios(rounds, who, clock=0) for who in contestants if who != "ours"},
        "speed_over_by_cpu_time": {
            who: _ratios(rounds, who, clock=1) for who in contestants if who != "ours"
        },
        "cores_busy_in_self_play": round(statistics.median(cpu / wall for wall, cpu in play), 2),
        "self_play_evaluations_per_second": round(positions * (config.simulations + 1) / play_seconds),
        "share_of_self_play_outside_network": round(1 - alone / play_seconds, 3),
    }


def _medians(
    rounds: dict[str, list[tuple[float, float]]], speed: Callable[[float, float], int]
) -> dict[str, int]:
    return {who: round(statistics.median(speed(*times) for times in all_)) for who, all_ in rounds.items()}


def _ratios(rounds: dict[str, list[tuple[float, float]]], over: str, clock: int) -> dict[str, float]:
    """Speed of each of the others over that of `over`, by wall time (0) or CPU time (1)."""
    return {
        who: round(statistics.median(b[clock] / a[clock] for a, b in zip(all_, rounds[over], strict=True)), 2)
        for who, all_ in rounds.items()
        if who != over
    }


def hundred_games(config: Config) -> dict[str, Any]:
    """Seconds for 100 whole games with 50 simulations and the residual network of 3 x 32, after compiling."""
    train = replace(
        train_config(config, NETWORKS["resnet 3 x 32"]), games=100, search=SearchSettings(num_simulations=50)
    )
    algorithm, mesh = build_algorithm(ENV, train), make_mesh()
    model, planner = algorithm.model, algorithm.planner
    states = start_games(ENV, train, jax.random.key(0), 100).states
    params = make_network(train.network, ENV.num_actions).init(jax.random.key(0), observe_batch(ENV, states))

    def one_ply(params: Any, states: Any, key: jax.Array) -> Any:
        key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
        root, invalid = model.root(params, states), ~states.legal_action_mask
        found = planner.plan(params, key, root, invalid, explore=True, memory=())
        return step_batch(ENV, states, found.action, key)

    step = jax.jit(jax.shard_map(one_ply, mesh=mesh, in_specs=(P(), P(AXIS), P()), out_specs=P(AXIS)))

    def play() -> int:
        now, plies = states, 0
        while not np.asarray(is_finished(now)).all():
            now, plies = step(params, now, jax.random.key(plies)), plies + 1
        return plies

    play()
    seconds = [timed(play)[0] for _ in range(config.rounds)]
    return {"seconds": round(statistics.median(seconds), 2), "plies_of_the_longest_game": play()}


def main(config: Config) -> None:
    """Prints and, with --out, writes the result."""
    result = {
        "benchmark": "self_play",
        "config": {name: value for name, value in asdict(config).items() if name != "out"},
        **provenance(),
        "against_peer": [against_peer(config, name) for name in NETWORKS],
        "hundred_games_50_simulations_resnet_3x32": hundred_games(config),
    }
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
