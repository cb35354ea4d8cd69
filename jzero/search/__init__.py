"""Batched tree search in JAX, with mctx's names, signatures and types.

`from jzero import search as mctx` runs code written for mctx. Deliberate differences:

- Dirichlet noise covers the legal actions only (mctx: all, then masked);
- ties go to the action with the larger prior, then to the lower index (mctx: 1e-7 of noise at each hop in PUCT, the
lower index in Gumbel search);
- a transform of Q-values that gives the untried legal actions of a node different values is searched by mctx's own
engine, without the options below, and the tree is mctx's;
- a step with discount 0 makes a terminal node, which has no children (mctx expands it);
- a node cut off by `max_depth` is evaluated once (mctx: at each visit, which differs if the model is stochastic);
- a prior logit of -inf from the model masks an action at interior nodes;
- statistics are float32 whatever the network's dtype;
- `qtransform_completed_by_mix_value` has `epsilon` 0.01 (mctx: 1e-8).

Beyond mctx, every policy takes these keyword arguments:

- `leaves`: number of leaves per tree evaluated in one call (see `leaves.py`);
- `tree`: continue with the tree of an earlier search (see `reuse.py`);
- `num_nodes`: capacity of the tree, at least one more than the simulations; more for reuse;
- `max_num_simulations`: allows a traced `num_simulations` up to this number, so that a change compiles nothing;
- `to_play`: embedding -> i32[B] the player to move. Values and rewards are then [B, P], one per player, and every
player maximises its own (max^n, Luckhardt and Irani 1986); the discount is not negative;
- `model_state`: anything a model keeps between calls, e.g. a cache (see `cache.py`): `recurrent_fn` takes it as
fifth argument and returns it as third result; the returned tree holds the last one;
- `max_bytes`: raise a ValueError instead of building a larger tree;
- `check`: check for NaN and for rows without a legal action; only outside `jit`;
- `solve`: prove wins, losses and draws (see `proofs.py`) in two-player games whose rewards sum to 0 and come at the
end; `action_bounds` and `node_bounds` read the proven bounds.

`search` and its action selections are mctx's, on mctx's `Tree`: selections may read and choose anything.
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
from mctx import __version__ as __version__  # of the interface

from jzero.search.arguments import tree_nbytes
from jzero.search.cache import CacheState, EvaluationCache
from jzero.search.chance import with_chance
from jzero.search.engines import engine
from jzero.search.gumbel import gumbel_muzero_policy
from jzero.search.options import Options
from jzero.search.proofs import action_bounds, node_bounds
from jzero.search.puct import muzero_policy
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
    "Options",
    "PolicyOutput",
    "RecurrentFn",
    "RecurrentFnOutput",
    "RecurrentState",
    "RootActionSelectionFn",
    "RootFnOutput",
    "SearchSummary",
    "Tree",
    "WorldsOutput",
    "action_bounds",
    "engine",
    "gumbel_muzero_interior_action_selection",
    "gumbel_muzero_policy",
    "gumbel_muzero_root_action_selection",
    "muzero_action_selection",
    "muzero_policy",
    "node_bounds",
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
