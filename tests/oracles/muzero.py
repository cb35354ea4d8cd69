"""A learned model's targets and loss, one sample and one step at a time, in double precision."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.oracles.replay import Ply, n_step_return

EPSILON = 0.001


def scale(x: float) -> float:
    """h of MuZero's appendix F; the linear term stands outside of the sign."""
    return math.copysign(1, x) * (math.sqrt(abs(x) + 1) - 1) + EPSILON * x


def two_hot(x: float, limit: float, atoms: int) -> np.ndarray:
    """f64[atoms]: mass at the atoms below and above h(x), in proportion to nearness."""
    end = scale(limit)
    gap = 2 * end / (atoms - 1)
    place = (min(max(scale(x), -end), end) + end) / gap
    low = math.floor(place)
    found = np.zeros(atoms)
    found[low] += 1 - (place - low)
    if place > low:
        found[min(low + 1, atoms - 1)] += place - low
    return found


def mean_atom(logits: np.ndarray, limit: float) -> float:
    """h of the value that logits [atoms] stand for."""
    mass = softmax(logits)
    end = scale(limit)
    return sum(m * (-end + 2 * end * i / (len(logits) - 1)) for i, m in enumerate(mass))


def decode(logits: np.ndarray, limit: float) -> float:
    """The value that logits [atoms] stand for: h is inverted by bisection."""
    wanted, low, high = mean_atom(logits, limit), -2 * limit, 2 * limit
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if scale(middle) < wanted else (low, middle)
    return (low + high) / 2


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return exponents / exponents.sum()


def steps_from(lane: Sequence[Ply], start: int, unroll_steps: int) -> list[int | str]:
    """Where each of the K + 1 steps from `start` stands: a ply's index, or what its game's end left."""
    found: list[int | str] = []
    for _ in range(unroll_steps + 1):
        last = found[-1] if found else None
        if isinstance(last, str):
            found.append(last)
        elif last is not None and lane[last].ended:
            found.append("unknown" if lane[last].truncated else "nothing")
        else:
            found.append(start if last is None else last + 1)
    return found


def value_targets(
    lane: Sequence[Ply], start: int, unroll_steps: int, value: Callable[[int], float]
) -> list[float]:
    """The K + 1 value targets: `value` of the plies of the game, 0 afterwards."""
    return [0.0 if isinstance(at, str) else value(at) for at in steps_from(lane, start, unroll_steps)]


def n_steps_of_age(age: float, td_steps: int, td_age: int) -> int:
    """EfficientZero's off-policy correction: a step less for each `td_age` positions of age, down to one."""
    return min(max(td_steps - math.floor(age / td_age), 1), td_steps)


def n_step_value(lane: Sequence[Ply], start: int, n: int, ends_with: Sequence[float]) -> float:
    """The n-step return of a ply that ends with one of these values of the plies, or at a random move sooner.

    At a random move it ends with the value on record.
    """
    both = zip(lane, ends_with, strict=True)
    valued = [ply if ply.explored else ply._replace(value=value) for ply, value in both]
    return n_step_return(valued, start, n)


def prefix_sums(rewards: Sequence[float], horizon: int) -> list[float]:
    """Rewards added up, from 0 again after every `horizon` steps."""
    found, total = [], 0.0
    for step, reward in enumerate(rewards):
        total = reward if step % horizon == 0 else total + reward
        found.append(total)
    return found


def loss(
    *,
    policy_logits: np.ndarray,  # [S, K + 1, A]
    value_logits: np.ndarray,  # [S, K + 1, atoms]
    reward_logits: np.ndarray,  # [S, K, atoms]
    cosine: np.ndarray,  # [S, K]
    policy: np.ndarray,
    policy_weight: np.ndarray,
    value: np.ndarray,
    reward: np.ndarray,  # or value prefixes
    known: np.ndarray,
    alive: np.ndarray,
    weight: np.ndarray,
    limits: tuple[float, float],
    weights: tuple[float, float, float],
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """({part: loss}, {logits: gradient of the whole loss}); `weights` of value, reward and consistency."""
    parts = dict.fromkeys(("policy_loss", "value_loss", "reward_loss", "consistency_loss"), 0.0)
    logits = {"policy": policy_logits, "value": value_logits, "reward": reward_logits}
    grads = {name: np.zeros(np.shape(array)) for name, array in logits.items()}
    samples, steps = np.shape(reward)
    present = max(sum(w > 0 for w in weight), 1)
    for row in range(samples):
        for step in range(steps + 1):
            share = weight[row] / present * (1 if step == 0 else 1 / steps)

            def add(name, at, target, row_weight, scale, share=share, row=row):
                """A cross-entropy; a policy's starts from the target's own entropy."""
                mass = softmax(logits[name][row, at])
                nats = -sum(t * math.log(m) for t, m in zip(target, mass, strict=True) if t > 0)
                if name == "policy":
                    nats += sum(t * math.log(t) for t in target if t > 0)
                parts[f"{name}_loss"] += share * row_weight * nats
                grads[name][row, at] += scale * share * row_weight * (mass * np.sum(target) - target)

            add("policy", step, policy[row, step].astype(np.float64), policy_weight[row, step], 1.0)
            target = two_hot(value[row, step], limits[0], np.shape(value_logits)[-1])
            add("value", step, target, float(known[row, step]), weights[0])
            if step:
                target = two_hot(reward[row, step - 1], limits[1], np.shape(reward_logits)[-1])
                add("reward", step - 1, target, float(known[row, step - 1]), weights[1])
                parts["consistency_loss"] -= share * alive[row, step] * cosine[row, step - 1]
    parts["loss"] = (
        parts["policy_loss"]
        + weights[0] * parts["value_loss"]
        + weights[1] * parts["reward_loss"]
        + weights[2] * parts["consistency_loss"]
    )
    return parts, grads
