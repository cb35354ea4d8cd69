"""Batched tree search in JAX, with mctx's names, signatures and types: `from jzero import search as mctx`.

`search` and its action selections are those of mctx, on its own `Tree`: selections may read and choose anything.
"""

from mctx import (
    ChanceRecurrentFnOutput,
    DecisionRecurrentFnOutput,
    GumbelMuZeroExtraData,
    InteriorActionSelectionFn,
    LoopFn,
    PolicyOutput,
    RecurrentFn,
    RecurrentFnOutput,
    RecurrentState,
    RootActionSelectionFn,
    RootFnOutput,
    gumbel_muzero_interior_action_selection,
    gumbel_muzero_root_action_selection,
    muzero_action_selection,
    search,
)

from jzero.search.arguments import tree_nbytes
from jzero.search.cache import CacheState, EvaluationCache
from jzero.search.chance import with_chance
from jzero.search.engines import engine
from jzero.search.policies import gumbel_muzero_policy, muzero_policy
from jzero.search.qtransforms import (
    qtransform_by_min_max,
    qtransform_by_parent_and_siblings,
    qtransform_completed_by_mix_value,
)
from jzero.search.reuse import subtree
from jzero.search.stochastic import stochastic_muzero_policy
from jzero.search.tree import SearchSummary, Tree
from jzero.search.worlds import WorldsOutput, search_worlds

__all__ = [
    "CacheState",
    "ChanceRecurrentFnOutput",
    "DecisionRecurrentFnOutput",
    "EvaluationCache",
    "GumbelMuZeroExtraData",
    "InteriorActionSelectionFn",
    "LoopFn",
    "PolicyOutput",
    "RecurrentFn",
    "RecurrentFnOutput",
    "RecurrentState",
    "RootActionSelectionFn",
    "RootFnOutput",
    "SearchSummary",
    "Tree",
    "WorldsOutput",
    "engine",
    "gumbel_muzero_interior_action_selection",
    "gumbel_muzero_policy",
    "gumbel_muzero_root_action_selection",
    "muzero_action_selection",
    "muzero_policy",
    "qtransform_by_min_max",
    "qtransform_by_parent_and_siblings",
    "qtransform_completed_by_mix_value",
    "search",
    "search_worlds",
    "stochastic_muzero_policy",
    "subtree",
    "tree_nbytes",
    "with_chance",
]
