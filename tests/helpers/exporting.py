"""What the tests of exports share: networks with weights of every kind, and positions."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from jzero.env_spec import EnvSpec, describe
from jzero.export.root import RootNetwork, root_network
from jzero.networks import Network
from jzero.networks.make import NetworkSettings, policy_value_network
from jzero.pytrees import Params
from jzero.registry import make
from jzero.run.config import TrainConfig
from jzero.storage import checkpoint
from jzero.storage.run_dir import CHECKPOINTS, CONFIG


def random_network(name: str, settings: NetworkSettings) -> tuple[EnvSpec, Network, Params]:
    """A network whose outputs vary: its last layers, zero at first, are random too."""
    spec = describe(make(name), name)
    network = policy_value_network(spec, settings)
    params = jax.jit(network.init)(jax.random.key(0), spec.seen(jax.random.key(0)))
    rng = np.random.default_rng(0)

    def shaken(x: jax.Array) -> np.ndarray:
        return np.asarray(x) + rng.normal(0, 0.1, x.shape).astype(np.float32)

    return spec, network, jax.tree.map(shaken, params)


def random_root(name: str, settings: NetworkSettings) -> RootNetwork:
    """The function of a `random_network`."""
    return root_network(*random_network(name, settings))


def prepared(spec: EnvSpec, network: Network, params: Params) -> Params:
    """Weights as the network computes with them."""
    return network.prepare(params, jax.eval_shape(lambda: spec.seen(jax.random.key(0))))


def run_on_disk(folder: Path, config: TrainConfig, params: Params, handed_in: tuple[str, ...] = ()) -> Path:
    """What a run of 7 iterations leaves behind, as far as an export reads it."""
    folder.mkdir()
    record = {"config": {"train": dataclasses.asdict(config), "handed_in": list(handed_in)}}
    (folder / CONFIG).write_text(json.dumps(record))
    checkpoint.save(folder / CHECKPOINTS, 7, {"state": {"averaged": params}})
    return folder
