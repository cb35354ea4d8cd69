"""Batched tree search in JAX, with mctx's names, signatures and types.

`from jzero import search as mctx` runs code written for mctx. Deliberate differences:

- Dirichlet noise is drawn over the legal actions only (mctx: over all, then masked);
- ties go to the action of greater prior, then to the lower one (mctx: 1e-7 of noise at each hop in PUCT, the
  lower action in Gumbel search);
- a transform of Q-values must give all legal unvisited actions of a node the same value, as those of mctx do;
- a step of discount 0 makes a terminal node, which is never expanded below (mctx expands it);
- a node cut off by `max_depth` is evaluated once (mctx: again at each visit, which differs if the model draws);
- a prior logit of -inf from the model masks an action at interior nodes;
- statistics are float32 whatever the network's dtype;
- `qtransform_completed_by_mix_value` has `epsilon` 0.01 (mctx: 1e-8).

Beyond mctx, every policy takes these keyword arguments:

- `leaves`: leaves of each tree that are evaluated in one call (see `leaves.py`);
- `tree`: continue with what an earlier search found (see `reuse.py`);
- `num_nodes`: room of the tree, at least one more than the simulations; more if it is to be reused;
- `max_num_simulations`: lets `num_simulations` be traced, up to this many, so that changing it compiles nothing;
- `to_play`: embedding -> i32[B] the player to move. Values and rewards are then [B, P], one a player, and every
  player maximises its own (max^n, Luckhardt and Irani 1986); the discount is not negative;
- `model_state`: anything a model keeps between calls, e.g. a cache (see `cache.py`): `recurrent_fn` takes it as
  fifth argument and returns it as third result; the tree returned has the last one;
- `max_bytes`: raise a ValueError instead of building a larger tree;
- `check`: look for NaN and for rows without a legal action, outside of `jit` only;
- `solve`: prove wins, losses and draws (see `proofs.py`), of games of two players whose rewards sum to 0 and come
  at the end; `action_bounds` and `node_bounds` read what was proven.

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
