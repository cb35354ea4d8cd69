"""The player that searches with random games, without a network."""

from __future__ import annotations

from typing import Any

from jzero.env import Env
from jzero.env_spec import describe
from jzero.evaluate.turns import Player, as_player
from jzero.models.plan import SearchSettings, make_planner
from jzero.models.rollouts import rollout_model
from jzero.pytrees import States


def rollout_player(env: Env, settings: SearchSettings, num_simulations: int) -> Player:
    """The player with the constants and worlds of `settings`."""
    model = rollout_model(describe(env))
    planner = make_planner(settings, model)

    def act(states: States, key: Any) -> States:
        root, invalid = model.root(None, states), ~states.legal_action_mask
        return planner.plan(None, key, root, invalid, num_simulations=num_simulations).action

    return as_player(act)
