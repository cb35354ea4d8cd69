"""Names of the actions of gymnax's games, and pictures of its classic control games.

Sizes are those of Gym's pictures of the same games.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

SIDEWAYS = ("left", "none", "right")
WORDS = {
    "CartPole-v1": ("left", "right"),
    "MountainCar-v0": SIDEWAYS,
    "Acrobot-v1": ("turn right", "none", "turn left"),
    "Asterix-MinAtar": ("none", "left", "up", "right", "down"),
    "Breakout-MinAtar": ("none", "left", "right"),
    "Freeway-MinAtar": ("none", "up", "down"),
    "Seaquest-MinAtar": ("none", "left", "up", "right", "down", "fire"),
    "SpaceInvaders-MinAtar": ("none", "left", "right", "fire"),
    "Catch-bsuite": SIDEWAYS,
}
"""Names of all actions."""


def action_name(name: str, action: int) -> str:
    """The name of the action; its number if it has no name."""
    return WORDS[name][action] if name in WORDS else str(action)


def _cart_pole(state: Any, params: Any) -> str:
    """The track is 4.8 units wide; an episode ends at its ends, or when the pole leans by 12 degrees."""
    x, lean = 100 * float(state.x), float(state.theta)
    top_x, top_y = x + 100 * math.sin(lean), -100 * math.cos(lean)
    limit = 100 * float(params.x_threshold)
    return (
        f'<path d="M{-limit:g} 16H{limit:g}M{-limit:g} 8v16M{limit:g} 8v16" stroke="#5d6470" stroke-width="2"/>'
        f'<rect x="{x - 25:.2f}" y="-15" width="50" height="30" rx="5" fill="#2a6fd6"/>'
        f'<path d="M{x:.2f} -8L{top_x:.2f} {top_y - 8:.2f}" stroke="#d9701a" stroke-width="9"/>'
        f'<circle cx="{x:.2f}" cy="-8" r="4.5" fill="#16181d"/>'
    )


def _height(x: float) -> float:
    return -(0.45 * math.sin(3 * x) + 0.55)


def _mountain_car(state: Any, params: Any) -> str:
    low, high, goal = (float(getattr(params, f"{at}_position")) for at in ("min", "max", "goal"))
    hills = " ".join(f"{100 * x:.1f},{100 * _height(x):.1f}" for x in np.linspace(low, high, 80))
    x = float(state.position)
    slope = math.degrees(math.atan(-1.35 * math.cos(3 * x)))
    flag_x, flag_y = 100 * goal, 100 * _height(goal)
    return (
        f'<polyline points="{hills}" fill="none" stroke="#5d6470" stroke-width="2"/>'
        f'<path d="M{flag_x:.1f} {flag_y:.1f}v-25l14 5l-14 5" fill="#0f8a4b" stroke="#0f8a4b"/>'
        f'<g transform="translate({100 * x:.2f} {100 * _height(x):.2f}) rotate({slope:.2f})">'
        '<rect x="-10" y="-13" width="20" height="9" rx="3" fill="#2a6fd6"/>'
        '<circle cx="-6" cy="-4" r="4" fill="#16181d"/><circle cx="6" cy="-4" r="4" fill="#16181d"/></g>'
    )


def _acrobot(state: Any, params: Any) -> str:
    """Both links are one unit long; the goal is the line one unit above the joint."""
    del params
    first, second = float(state.joint_angle1), float(state.joint_angle2)
    elbow = 50 * math.sin(first), 50 * math.cos(first)
    tip = elbow[0] + 50 * math.sin(first + second), elbow[1] + 50 * math.cos(first + second)
    points = f"M0 0L{elbow[0]:.2f} {elbow[1]:.2f}L{tip[0]:.2f} {tip[1]:.2f}"
    joints = "".join(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="6" fill="#d9701a"/>' for x, y in ((0, 0), elbow))
    return (
        '<path d="M-110 -50H110" stroke="#0f8a4b" stroke-width="2"/>'
        f'<path d="{points}" fill="none" stroke="#2a6fd6" stroke-width="9" stroke-linejoin="round"/>{joints}'
    )


PICTURES: dict[str, tuple[tuple[int, int, int, int], Callable[[Any, Any], str]]] = {
    "CartPole-v1": ((-260, -130, 520, 170), _cart_pole),
    "MountainCar-v0": ((-130, -130, 200, 150), _mountain_car),
    "Acrobot-v1": ((-115, -115, 230, 230), _acrobot),
}
"""The picture's frame (x, y, width, height), and the function that draws gymnax's state and parameters."""


def svg(name: str, state: Any, params: Any) -> str:
    """A picture of gymnax's state of one of the games in `PICTURES`."""
    (x, y, width, height), draw = PICTURES[name]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{x} {y} {width} {height}" width="{width}" '
        f'height="{height}"><rect x="{x}" y="{y}" width="{width}" height="{height}" fill="#f6f7f9"/>'
        f"{draw(state, params)}</svg>"
    )
