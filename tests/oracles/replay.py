"""Value targets and what may be sampled, one ply at a time. A lane is a list of plies in the order of play."""

from typing import NamedTuple


class Ply(NamedTuple):
    reward: float  # of the player who moved
    discount: float  # of the next ply's value; negative where the mover changes, 0 at a terminal
    ended: bool
    truncated: bool
    explored: bool
    value: float  # the search's value
    qvalue: float  # the search's value of the action it chose


def n_step_return(lane: list[Ply], start: int, n: int) -> float | None:
    """The return of the ply `start` with the search's value after `n` plies; None if the lane ends before.

    Ends sooner at the end of the game, at its truncation, and at the first ply that explored.
    """
    total, weight = 0.0, 1.0
    for index in range(start, start + n):
        if index == len(lane):
            return None
        ply = lane[index]
        if ply.explored:
            return total + weight * ply.value
        if ply.truncated:
            return total + weight * ply.qvalue
        total += weight * ply.reward
        if ply.ended:
            return total
        weight *= ply.discount
    return total + weight * lane[start + n].value if start + n < len(lane) else None


def lambda_return(lane: list[Ply], start: int, td_lambda: float) -> float | None:
    """The forward view (Sutton and Barto, section 12.1): a mean of all n-step returns to the game's end.

    None for a ply of a game that has not ended in the lane.
    """
    length = next((n for n, ply in enumerate(lane[start:], start=1) if ply.ended), None)
    if length is None:
        return None
    mixed = sum(
        (1 - td_lambda) * td_lambda ** (n - 1) * n_step_return(lane, start, n) for n in range(1, length)
    )
    return mixed + td_lambda ** (length - 1) * n_step_return(lane, start, length)


def plies_to_sample(lane: list[Ply], capacity: int) -> list[int]:
    """Which plies a ring of `capacity` holds that belong to games that have ended."""
    return [
        index
        for index in range(max(0, len(lane) - capacity), len(lane))
        if any(ply.ended for ply in lane[index:])
    ]
