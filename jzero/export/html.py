"""One HTML file in which a browser plays against the network, offline: the rules, the network and the search in
JavaScript, and the weights as text.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jzero.env import Env, observe_batch
from jzero.env_spec import describe
from jzero.export.layers import layers_of
from jzero.export.root import random_states
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings, policy_value_network
from jzero.pytrees import Json, Params, PyTree, Record
from jzero.show.page import page

MOST_BYTES = 3_000_000
"""Largest size of a page in bytes."""
BOUND = 1e-3
"""Largest allowed difference of a probability or a value with 16-bit weights."""
SCRIPTS = ("network.js", "search.js", "games.js", "board.js", "page.js")
PB_C_BASE = 19652
"""Default of `jzero.search.muzero_policy`, which runs do not change."""
GAMES = {
    ("jzero_envs.tic_tac_toe", "TicTacToe"): "Tic-tac-toe",
    ("jzero_envs.connect_four", "ConnectFour"): "Connect Four",
    ("jzero_envs.quoridor", "Quoridor"): "Quoridor",
}
"""Module and class of the games that the page can play -> title."""


class Written(NamedTuple):
    """Facts about a written page."""

    bytes: int
    bits: int
    """Bits per kernel weight, 32 or 16."""
    policy_difference: float
    """Largest difference of a probability due to 16-bit rounding, on positions of random play."""
    value_difference: float


def write_html(
    path: Path,
    env: Env,
    network: NetworkSettings,
    params: Params,
    search: SearchSettings,
    *,
    discount: float = 1.0,
    note: str = "",
) -> Written:
    """Writes the page of an AlphaZero agent.

    The page searches with PUCT, whatever the policy of `search`. Weights have 32 bits if the page then has at most
    `MOST_BYTES`, else kernels have 16 bits with a scale per output. It computes in float32 even if the run's
    network computes in bfloat16.

    Args:
      path: the file.
      env: tic-tac-toe, Connect Four or Quoridor.
      network: settings of the network.
      params: weights of the network.
      search: settings of the search.
      discount: discount per ply.
      note: a line of text for the page.

    Raises:
      ValueError: the page cannot play the game or compute the network, or would be too large.
    """
    title = title_of(env)
    spec, network = describe(env), network.in_float32()
    layers_of(network, params)  # says what is wrong with a network before it is made
    made = policy_value_network(spec, network)
    params = made.prepare(params, jax.eval_shape(lambda: spec.seen(jax.random.key(0))))
    for bits in (32, 16):
        data = page_data(env, network, params, search, discount=discount, bits=bits) | {"note": note}
        content = page_text(title, data).encode()
        if len(content) <= MOST_BYTES:
            break
    else:
        raise ValueError(
            f"the page would hold {len(content) / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:g}: train a network "
            "with a smaller width or fewer blocks (a million weights fit)"
        )
    found = _differences(spec, made.apply, params) if bits == 16 else (0.0, 0.0)
    if not max(found) <= BOUND:
        raise ValueError(
            f"16-bit weights change probabilities by {found[0]:.1e} and values by {found[1]:.1e}, more than "
            f"{BOUND:g}, and 32-bit weights do not fit: train a network with a smaller width or fewer blocks"
        )
    path.write_bytes(content)
    return Written(len(content), bits, *found)


def title_of(env: Env) -> str:
    """The game's title.

    Raises:
      ValueError: the page cannot play it.
    """
    kind = type(env)
    if title := GAMES.get((kind.__module__, kind.__name__)):
        return title
    raise ValueError(
        f"the page plays only {', '.join(GAMES.values())}, not {getattr(env, 'name', kind.__name__)!r}: use --onnx "
        "or --stablehlo"
    )


def page_data(
    env: Env,
    network: NetworkSettings,
    params: Record,
    search: SearchSettings,
    *,
    discount: float = 1.0,
    bits: int = 32,
) -> Json:
    """The scripts' input as JSON: the game, the network (with prepared weights) and the search."""
    layers = layers_of(network, params)
    (*shape,) = describe(env).observation.shape
    return {
        "game": {"name": getattr(env, "name", ""), "options": dataclasses.asdict(env)},  # pyrefly: ignore
        "network": {
            "shape": shape,
            "body": layers.body,
            "policy": layers.policy,
            "value": layers.value,
            "weights": encoded(layers.tensors, bits),
        },
        "search": {
            "pbCInit": search.pb_c_init,
            "pbCBase": PB_C_BASE,
            "epsilon": search.min_value_range,
            "discount": discount,
        },
        "trainedBy": search.policy,
        "bits": bits,
        "numWeights": sum(tensor.size for tensor in layers.tensors),
    }


def page_text(title: str, data: Record) -> str:
    """The HTML of the page with these data."""
    # "</" would end the script.
    values = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    code = [f'"use strict";\nconst DATA = {values};\n', *map(offline, SCRIPTS)]
    body = (
        f'<div id="game" data-title="{escape(title)}"><noscript>This page needs JavaScript.</noscript></div>'
    )
    return page(title, body, css=offline("page.css"), script="\n".join([*code, "start(DATA);\n"]))


def offline(name: str) -> str:
    """The text of one of the page's files."""
    return (resources.files("jzero.export") / "offline" / name).read_text("utf-8")


def encoded(tensors: list[np.ndarray], bits: int) -> Json:
    """Tensors as base64 of little-endian numbers; with 16 bits, tensors of several axes are integers with
    scales.
    """
    floats, shorts, entries = [np.zeros(0, "<f4")], [np.zeros(0, "<i2")], []
    counts = {"floats": 0, "shorts": 0}

    def append(where: str, values: np.ndarray) -> int:
        (floats if where == "floats" else shorts).append(values.ravel())
        counts[where] += values.size
        return counts[where] - values.size

    for tensor in tensors:
        entry: Json = {"shape": tensor.shape}
        if bits == 16 and tensor.ndim > 1:
            whole, scale = _rounded(tensor)
            entry |= {"at": append("shorts", whole), "scale": append("floats", scale)}
        else:
            entry["at"] = append("floats", tensor.astype("<f4"))
        entries.append(entry)
    texts = {
        name: base64.b64encode(np.concatenate(parts).tobytes()).decode("ascii")
        for name, parts in (("floats", floats), ("shorts", shorts))
    }
    return {**texts, "tensors": entries}


def _rounded(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(i16[..., O], f32[O]): a kernel as integers times column scales."""
    most = np.abs(tensor).reshape(-1, tensor.shape[-1]).max(axis=0)
    scale = np.maximum(most / 32767, np.finfo(np.float32).tiny).astype("<f4")
    return np.rint(tensor / scale).astype("<i2"), scale


def _differences(spec: Any, apply: Any, params: PyTree) -> tuple[float, float]:
    """Largest differences of a probability and a value between 16-bit and 32-bit weights."""

    def as_rounded(x: Any) -> Any:
        if x.ndim < 2:
            return x
        whole, scale = _rounded(np.asarray(x, np.float32))
        return whole.astype(np.float32) * scale

    @jax.jit
    def read(params: PyTree, observation: Any) -> Any:
        logits, value = apply(params, observation)
        return jax.nn.softmax(logits), value

    observation = observe_batch(spec.env, random_states(spec, 256))
    one, other = (jax.device_get(read(p, observation)) for p in (params, jax.tree.map(as_rounded, params)))
    policy, value = (float(np.max(np.abs(a - b))) for a, b in zip(one, other, strict=True))
    return policy, value
