"""The search policy for given settings and a model.

Axes: B games, A actions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import jax

from jzero import search
from jzero.models.model import Model
from jzero.pytrees import Embedding, Params, PyTree, States
from jzero.search.chance import Decide
from jzero.settings import check


@dataclass(frozen=True)
class SearchSettings:
    """Settings of the search."""

    policy: Literal["gumbel", "puct"] = "gumbel"
    """Gumbel (sequential halving, improved policy as target) or PUCT (visit counts as target)."""
    num_simulations: int = 32
    """Simulations per move in self-play."""
    max_considered: int = 16
    """Gumbel: actions in the first halving round."""
    sampled_actions: int = 16
    """Continuous actions: candidates that every node samples from its policy."""
    value_scale: float = 0.1
    """Gumbel: c_scale, the weight of Q-values in the improved policy."""
    maxvisit_init: float = 50.0
    """Gumbel: c_visit."""
    rescale_values: bool = True
    """Gumbel: map a node's Q-values to [0, 1] before scaling."""
    dirichlet_fraction: float = 0.25
    """PUCT: share of noise in the root's prior during self-play."""
    dirichlet_alpha: float = 1.0
    """PUCT: concentration of the noise."""
    pb_c_init: float = 1.25
    """PUCT: c_1."""
    forced_playouts: float = 0.0
    """PUCT in self-play: a tried action at the root gets at least sqrt(this x prior x simulations) visits; the
    policy target omits purely forced ones (KataGo: 2). 0 forces none."""
    worlds: int = 1
    """Hidden information: number of worlds per move, each sampled consistently with what the mover has seen."""
    reuse: bool = False
    """Self-play keeps the subtree of the action played until the weights change. Only for AlphaZero without chance
    and hidden information."""
    cache: int = 0
    """Size of the evaluation cache, a power of two; it is emptied when the weights change. 0: no cache. Only for
    AlphaZero with an environment that has `fingerprint`."""
    solve: bool = False
    """Prove wins, losses and draws that the search reads to the end, and play accordingly. Only for AlphaZero in
    two-player games whose rewards sum to 0 and come at the end, without chance and hidden information."""
    min_value_range: float = 0.01
    """Smallest divisor when Q-values are rescaled, so that noise is not amplified (EfficientZero's soft
    min-max)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check("search.num_simulations", self.num_simulations, low=1)
        check("search.max_considered", self.max_considered, low=1)
        check("search.sampled_actions", self.sampled_actions, low=2)
        check("search.value_scale", self.value_scale, low=0)
        check("search.maxvisit_init", self.maxvisit_init, low=0)
        check("search.dirichlet_fraction", self.dirichlet_fraction, low=0, high=1)
        check("search.dirichlet_alpha", self.dirichlet_alpha, above=0)
        check("search.pb_c_init", self.pb_c_init, above=0)
        check("search.forced_playouts", self.forced_playouts, low=0)
        if self.forced_playouts and (self.policy != "puct" or self.solve):
            raise ValueError(
                f"search.forced_playouts is {self.forced_playouts:g}; it needs search.policy puct and no proofs: "
                "use 0, or --search.policy puct --search.no-solve"
            )
        check("search.worlds", self.worlds, low=1)
        check("search.cache", self.cache, low=0)
        if self.cache & (self.cache - 1):
            raise ValueError(
                f"search.cache is {self.cache}; it must be a power of two, such as {1 << self.cache.bit_length()}"
            )
        check("search.min_value_range", self.min_value_range, above=0)


def search_policy(
    settings: SearchSettings, model: Model, explore: bool
) -> Callable[..., search.PolicyOutput]:
    """The search policy for a model, with or without self-play's noise."""
    if evaluates_afterstates(settings, model):
        return _with_evaluated_afterstates(settings, model, explore)
    policy = _policy_of_actions(settings, explore)
    return policy if model.decide is None else search.with_chance(policy, model.decide)


def evaluates_afterstates(settings: SearchSettings, model: Model) -> bool:
    """Whether the search is Stochastic MuZero's: a simulation adds an afterstate or a state, each with the model's
    value.

    The Gumbel search counts simulations per action, and continues from each new afterstate to one of its outcomes.
    """
    return model.afterstate_value is not None and settings.policy == "puct"


def _with_evaluated_afterstates(
    settings: SearchSettings, model: Model, explore: bool
) -> Callable[..., search.PolicyOutput]:
    """`search.stochastic_muzero_policy` over a model, with the signature of `search.muzero_policy`."""
    decide, value_of = cast(Decide, model.decide), cast(Callable, model.afterstate_value)

    def decision(
        params: Params, key: jax.Array, action: jax.Array, embedding: Embedding
    ) -> tuple[PyTree, PyTree]:
        logits, after = decide(params, key, action, embedding)
        value = value_of(params, after)
        return search.DecisionRecurrentFnOutput(chance_logits=logits, afterstate_value=value), after

    def outcome(params: Params, key: jax.Array, code: jax.Array, after: States) -> tuple[PyTree, PyTree]:
        step, embedding = model.recurrent(params, key, code, after)
        found = search.ChanceRecurrentFnOutput(
            action_logits=step.prior_logits, value=step.value, reward=step.reward, discount=step.discount
        )
        return found, embedding

    def policy(
        params: Params,
        key: jax.Array,
        root: search.RootFnOutput,
        recurrent_fn: Callable,
        num_simulations: int,
        *,
        to_play: None,
        leaves: int = 1,
        **options: Any,
    ) -> search.PolicyOutput:
        del recurrent_fn, to_play  # the model's; a learned model has one value
        if leaves != 1:
            raise ValueError(
                f"leaves is {leaves}; PUCT with learned chance codes evaluates one leaf at a time: use 1, or "
                "search.policy gumbel"
            )
        return search.stochastic_muzero_policy(
            params,
            key,
            root,
            decision,
            outcome,
            num_simulations,
            packed=True,
            **_puct(settings, explore),
            **options,
        )

    return policy


def _policy_of_actions(settings: SearchSettings, explore: bool) -> Callable[..., search.PolicyOutput]:
    """The search policy with the settings' constants."""
    if settings.policy == "gumbel":
        return functools.partial(
            search.gumbel_muzero_policy,
            qtransform=functools.partial(search.qtransform_completed_by_mix_value, **improvement(settings)),
            max_num_considered_actions=settings.max_considered,
            gumbel_scale=1.0 if explore else 0.0,
            solve=settings.solve,
        )
    forced = settings.forced_playouts if explore else 0.0
    return functools.partial(
        search.muzero_policy, solve=settings.solve, forced=forced, **_puct(settings, explore)
    )


def _puct(settings: SearchSettings, explore: bool) -> dict[str, Any]:
    """PUCT's constants, with or without self-play's noise."""
    return {
        "qtransform": functools.partial(
            search.qtransform_by_parent_and_siblings, epsilon=settings.min_value_range
        ),
        "dirichlet_fraction": settings.dirichlet_fraction if explore else 0.0,
        "dirichlet_alpha": settings.dirichlet_alpha,
        "pb_c_init": settings.pb_c_init,
    }


def improvement(settings: SearchSettings) -> dict[str, Any]:
    """Options for scaling Q-values before they improve a policy."""
    return {
        "value_scale": settings.value_scale,
        "maxvisit_init": settings.maxvisit_init,
        "rescale_values": settings.rescale_values,
        "epsilon": settings.min_value_range,
    }
