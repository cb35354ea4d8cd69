"""What the tests of training share: a run of milliseconds, a game with every kind of ply, child processes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.algorithms.muzero import make_learned
from jzero.env import Env, forfeit, keep_finished
from jzero.env_spec import describe
from jzero.metrics import Metrics
from jzero.models.learned import LearnedModel
from jzero.models.model import Model
from jzero.models.plan import Plan, SearchSettings, make_planner
from jzero.models.simulator import simulator_model
from jzero.networks import Network
from jzero.networks.make import NetworkSettings
from jzero.networks.network import Apply
from jzero.run.build import build_network
from jzero.run.config import TrainConfig
from jzero.self_play import Games, Transition, self_play

REPOSITORY = Path(__file__).parents[2]

TINY = TrainConfig(
    env="tic_tac_toe",
    search=SearchSettings(num_simulations=4),
    network=NetworkSettings(width=16, blocks=1),
    games=8,
    plies=6,
    replay_plies=18,
    batch_size=16,
    updates=2,
    warmup_iterations=1,
    learning_rate=1e-2,
    opening_plies=2,
)


def tiny(**changes: Any) -> TrainConfig:
    """`TINY` with some fields changed."""
    return dataclasses.replace(TINY, **changes)


def network_of(apply: Apply) -> Network:
    """A network of a function of parameters that are known."""
    return Network(lambda key, observation: (), apply)


def simulator(env: Env, apply: Apply, discount: float = 1.0) -> Model:
    """The environment itself as a model, with a function as its network."""
    return simulator_model(describe(env), network_of(apply), discount=discount)


def learned_of(env: Env, config: TrainConfig) -> LearnedModel:
    """The learned model of the settings."""
    spec = describe(env)
    return make_learned(spec, build_network(spec, config), config)


def planned(
    settings: SearchSettings, model: Model, params: Any, key: jax.Array, states: Any, **options: Any
) -> Plan:
    """What a search of the states finds; with `memory=None` its tree too."""
    planner, root = make_planner(settings, model), model.root(params, states)
    return planner.plan(params, key, root, ~states.legal_action_mask, **({"memory": ()} | options))


def play_on(
    env: Env, model: Model, config: TrainConfig, params: Any, key: jax.Array, games: Games
) -> tuple[Games, Transition, Metrics]:
    """Self-play by the search of the settings."""
    planner = make_planner(config.search, model)
    return self_play(env, model, planner, config, params, key, games, record=lambda states: states)


class RaceState(NamedTuple):
    position: jax.Array  # i32[]
    ply: jax.Array  # i32[]
    action: jax.Array  # i32[] the last one; -1 at the start
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


@dataclasses.dataclass(frozen=True)
class Race:
    """Two run to `goal`; whoever arrives wins 1. After `limit` plies the race is called off (truncated).

    Actions: 0 step and let the next player move; 1 step, move again, and pay 1/4 to the others; 2 stand still
    (illegal at position 0).
    """

    num_players: int = 2
    goal: int = 4
    limit: int = 6
    num_actions: int = 3

    def init(self, key):
        return RaceState(
            position=jnp.int32(0),
            ply=jnp.int32(0),
            action=jnp.int32(-1),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.array([True, True, False]),
            rewards=jnp.zeros(self.num_players, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state, action, key):
        action = jnp.asarray(action, jnp.int32)
        position = state.position + (action < 2).astype(jnp.int32)
        won = position >= self.goal
        mover = jnp.arange(self.num_players, dtype=jnp.int32) == state.current_player
        earned = won.astype(jnp.float32) - jnp.where(action == 1, jnp.float32(0.25), 0.0)
        after = RaceState(
            position=position,
            ply=state.ply + 1,
            action=action,
            current_player=jnp.where(
                action == 1, state.current_player, (state.current_player + 1) % self.num_players
            ),
            legal_action_mask=jnp.array([True, True, True]),
            rewards=jnp.where(mover, earned, -earned),
            terminated=won,
            truncated=~won & (state.ply + 1 >= self.limit),
        )
        return keep_finished(state, forfeit(state, ~state.legal_action_mask[action], after))

    def observe(self, state):
        return jax.nn.one_hot(state.position, self.goal + 1, dtype=jnp.float32)


def uniform_apply(params: Any, observation: Any) -> tuple[jax.Array, jax.Array]:
    """A "network" for tic-tac-toe that knows nothing: equal logits [B, 9], value 0 [B]."""
    batch = jax.tree.leaves(observation)[0].shape[0]
    return jnp.zeros((batch, 9), jnp.float32), jnp.zeros(batch, jnp.float32)


# A process that trains for ever and says what it does; its options come after the first argument, which tells where
# it hangs: "iteration 4", "measurement 2", "never".
CHILD = """if True:
    import sys, time
    from jzero.run.loop import Run, Strength
    from jzero.run.config import RunConfig
    from jzero.run.cli import main
    from tests.helpers.tiny import TINY

    done = {"iteration": 0, "measurement": 0}
    one_iteration = Run._one_iteration

    def maybe_hang(what):
        done[what] += 1
        if sys.argv[1] == f"{what} {done[what]}":
            print("hangs", flush=True)
            time.sleep(600)

    def play(run):
        metrics = one_iteration(run)
        maybe_hang("iteration")
        return metrics

    def measure(env):
        def measured(agent):
            maybe_hang("measurement")
            return Strength("nothing", 0.5, 0.25, 0.75)
        return measured

    Run._one_iteration = play
    default = RunConfig(minutes=60, evaluate_every=1e9, checkpoint_every=1e9, cpu_devices=1, train=TINY)
    main("tiny", default, measure, argv=sys.argv[2:])
    print("the end", flush=True)
"""


def numbers(tree: Any) -> list[np.ndarray]:
    """All leaves as NumPy arrays; random keys as the integers they are made of."""
    return [
        np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
        for leaf in jax.tree.leaves(tree)
    ]


def same_bits(one: Any, other: Any) -> bool:
    """Whether two pytrees hold the same arrays, to the last bit."""
    pairs = list(zip(numbers(one), numbers(other), strict=True))
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def child_environment(cache: Path, **variables: str) -> dict[str, str]:
    """Environment variables of a child process that finds this repository; `cache` is also its home."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "JZERO_", "NPROC"))}
    return inherited | {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'envs'}",
        "HOME": str(cache),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longer than what these runs compute
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        **variables,
    }


def start_python(*arguments: object, cache: Path, **variables: str) -> subprocess.Popen:
    """A child process with these arguments and environment variables, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env=child_environment(cache, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], Any], child: subprocess.Popen, seconds: float = 600) -> None:
    """Waits until the condition holds, while the child is alive."""
    deadline = time.monotonic() + seconds
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            out, err = child.communicate()
            pytest.fail(f"waited in vain:\n{out[-1000:]}\n{err[-3000:]}")
        time.sleep(0.02)


def finish(child: subprocess.Popen, seconds: float = 600) -> tuple[str, str]:
    """What the child wrote to stdout and stderr; it is killed if it takes too long."""
    try:
        return child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        pytest.fail(f"the child process did not end in {seconds} s:\n{out[-2000:]}\n{err[-2000:]}")


def worker_report(child: subprocess.Popen, seconds: float = 600) -> dict[str, Any]:
    """What `tests.helpers.mesh_worker` printed."""
    out, err = finish(child, seconds)
    assert child.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])
