"""Random lanes of plies, for the tests of what is learned from them. Axes: T plies, B lanes."""

import numpy as np

from jzero.self_play import Transition
from tests.oracles import replay as oracle


def transitions(lanes, first_id=0):
    """Lanes of oracle plies, all of one length, as transitions [T, B]; the state of a ply is its number."""
    fields = {
        name: np.array([[getattr(ply, name) for ply in lane] for lane in lanes]).T
        for name in oracle.Ply._fields
    }
    length, batch = fields["reward"].shape
    ids = first_id + np.arange(length)[:, None] + 1000 * np.arange(batch)
    floats = {name: fields[name].astype(np.float32) for name in ("reward", "discount", "value", "qvalue")}
    flags = {name: fields[name].astype(bool) for name in ("ended", "truncated", "explored")}
    return Transition(
        position=ids.astype(np.int32),
        action=(ids % 7).astype(np.int32),
        policy=(ids[..., None] + np.array([0.25, 0.5])).astype(np.float32),
        policy_weight=(ids % 2).astype(np.float32),
        **floats,
        **flags,
    )


def random_lane(rng, length, *, mean_length=5, explored=0.15, discount=0.9):
    """Plies with random numbers, moves that keep the turn, ends of both kinds."""
    lane = []
    for _ in range(length):
        ended = rng.random() < 1 / mean_length
        truncated = ended and rng.random() < 0.4
        sign = rng.choice([-1.0, 1.0])
        lane.append(
            oracle.Ply(
                reward=float(rng.normal()),
                discount=0.0 if ended and not truncated else sign * discount,
                ended=ended,
                truncated=truncated,
                explored=bool(rng.random() < explored),
                value=float(rng.normal()),
                qvalue=float(rng.normal()),
            )
        )
    return lane
