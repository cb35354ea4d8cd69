"""The search tree of one position on the host, for unfolding: children by visits, and their states.

Edges are actions, and from A on chance: outcomes of the environment, or learned codes, which lead to no state.
Axes: B rows, A actions, N nodes, W worlds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.analysis import Analysis
from jzero.pytrees import OneState, PyTree
from jzero.search import Tree, layout
from jzero.show.rules import Rules


def unfolds(rules: Rules, found: Analysis) -> bool:
    """Whether the tree's edges can be shown.

    They cannot if they are continuous candidates, if their boards would show hidden information that cannot be
    resampled, or with an emulator.
    """
    spec = rules.spec
    hides = spec.hidden_information and not spec.resamples
    unknown = spec.action_size or spec.external
    return isinstance(found.tree, Tree) and found.tree.num_simulations > 1 and not (hides or unknown)


class Branch(NamedTuple):
    """A child in a tree."""

    node: int
    action: int
    """The action, or A + c for the outcome or learned code c of chance."""
    visits: int
    qvalue: float
    """Q-value for the player to move at the parent; for an outcome, for the player who acted."""
    prior: float
    """Prior; for an outcome its probability."""
    world: int
    """World with the most visits; 0 if there is one world."""


class Branches:
    """The search tree of one position on the host: children by visits. Trees of several worlds are merged.

    A node then combines the worlds' nodes of the same line of edges: the sum of visits, and means of values and
    priors weighted by visits.
    """

    def __init__(self, tree: Tree, row: int = 0, worlds: int = 1) -> None:
        """Reads the trees in the rows `row * worlds`, ... of `tree`."""
        rows = worlds * row + np.arange(worlds, dtype=np.int32)
        edges = jax.device_get(_edges(tree, rows))
        merged: dict[tuple[int, int], list[tuple[Branch, int]]] = {}
        for world, (parents, actions, visits, qvalues, priors) in enumerate(zip(*edges, strict=True)):
            number = {0: 0}  # of this world's nodes in the whole
            # A parent has as many visits as its child or more, and a lower number: it comes first.
            for node in np.argsort(-visits, kind="stable")[: np.count_nonzero(visits)].tolist():
                parent, action = number[int(parents[node])], int(actions[node])
                own = world * len(visits) + node
                branch = Branch(
                    own, action, int(visits[node]), float(qvalues[node]), float(priors[node]), world
                )
                same = merged.setdefault((parent, action), [])
                same.append((branch, parent))
                number[node] = same[0][0].node
        together = [(_together([one for one, _ in same]), same[0][1]) for same in merged.values()]
        together.sort(key=lambda pair: -pair[0].visits)
        self._order = [branch.node for branch, _ in together]
        self._children: dict[int, list[Branch]] = {}
        for branch, parent in together:
            self._children.setdefault(parent, []).append(branch)

    def most_visited(self, count: int) -> set[int]:
        """The most visited nodes, each with all its ancestors except the root."""
        return set(self._order[:count])

    def below(self, node: int) -> list[Branch]:
        """The children of a node, most visited first."""
        return self._children.get(node, [])

    def along(self, path: Sequence[int]) -> list[Branch]:
        """The branches along edges from the root, up to a missing one."""
        found: list[Branch] = []
        for edge in path:
            here = found[-1].node if found else 0
            child = next((child for child in self.below(here) if child.action == edge), None)
            if child is None:
                break
            found.append(child)
        return found

    def line(self, first: int) -> list[int]:
        """The most visited edges, starting with this one at the root."""
        found = self.along([first])
        while found and (below := self.below(found[-1].node)):
            found.append(below[0])
        return [branch.action for branch in found] or [first]


def _together(same: Sequence[Branch]) -> Branch:
    """Merges the same edge of several worlds."""
    if len(same) == 1:
        return same[0]
    visits = sum(one.visits for one in same)
    return Branch(
        same[0].node,
        same[0].action,
        visits,
        sum(one.visits * one.qvalue for one in same) / visits,
        sum(one.visits * one.prior for one in same) / visits,
        max(same, key=lambda one: one.visits).world,
    )


class Searched:
    """A search that unfolds: its branches and, with hidden information, its worlds."""

    def __init__(self, found: Analysis, row: int) -> None:
        """Reads a row of an analysis that `unfolds`."""
        worlds = max(1, found.worlds)
        self._goes_on = bool(found.chance or found.worlds)
        self._codes = found.chance == "learned"
        self._num_actions = found.prior.shape[-1]
        self.branches = Branches(found.tree, row, worlds)
        self.worlds: list[PyTree] = []
        if found.worlds:
            roots = jax.tree.map(lambda x: x[row * worlds : (row + 1) * worlds, 0], found.tree.embeddings)
            roots = jax.device_get(roots)
            self.worlds = [jax.tree.map(lambda x, world=world: x[world], roots) for world in range(worlds)]

    def line(self, variation: Sequence[int]) -> list[int]:
        """The expected line starting with the first action of a `variation`, which with chance holds only that
        action.
        """
        return self.branches.line(variation[0]) if self._goes_on else list(variation)

    def is_chance(self, rules: Rules, edge: int) -> bool:
        """Whether an edge is an outcome of chance or a learned code."""
        return rules.is_outcome(edge) or self._is_code(edge)

    def stateless(self, path: Sequence[int]) -> bool:
        """Whether a path goes through a learned code: no state of the game belongs to its end."""
        return any(map(self._is_code, path))

    def walk(
        self, rules: Rules, state: OneState, path: Sequence[int], seed: int
    ) -> tuple[list[PyTree], list[str]]:
        """The states along a path, as in `imagine`, and the names of its edges.

        The states end before the first learned code; the names end at an illegal action, and after a code at what
        was not searched.
        """
        known = list(itertools.takewhile(lambda edge: not self._is_code(edge), path))
        states = self.imagine(rules, state, known, seed)
        names = [rules.name_of(*move) for move in zip(states[:-1], known, strict=False)]
        if len(names) == len(known):
            searched = path[len(known) : len(self.branches.along(path))]
            names += [self.stateless_name(rules, state, edge) for edge in searched]
        return states, names

    def below(
        self, rules: Rules, state: OneState, path: Sequence[int], seed: int
    ) -> Iterator[tuple[Branch, str]]:
        """Yields the children of the node at the end of a path, most visited first, and their names.

        Moves that only a learned model expects, and the game does not have, are left out.
        """
        above = self.branches.along(path)
        if len(above) < len(path):
            return
        states: dict[int, PyTree | None] = {}  # the node's state in each of the worlds of the children
        for child in self.branches.below(above[-1].node if above else 0):
            here = [*path, child.action]
            if self.stateless(here):
                yield child, self.stateless_name(rules, state, child.action)
                continue
            if child.world not in states:
                line = self.imagine(rules, state, here, seed)
                states[child.world] = line[len(path)] if len(line) > len(path) else None
            at = states[child.world]
            if at is not None and rules.begins_at(at, child.action, between=rules.is_outcome(child.action)):
                yield child, rules.name_of(at, child.action)

    def stateless_name(self, rules: Rules, state: OneState, edge: int) -> str:
        """The name of a learned code, or of an action after one.

        With one player an action has its name in `state`, the root; with more its index, for its name may depend
        on the unknown state.
        """
        if self._is_code(edge):
            return f"code {edge - self._num_actions}"
        return rules.name_of(state, edge) if rules.spec.num_players == 1 else str(edge)

    def imagine(self, rules: Rules, state: OneState, path: Sequence[int], seed: int) -> list[PyTree]:
        """As `Rules.imagine`, in the world with the most visits along the path, if there is one."""
        above = self.branches.along(path)
        if not self.worlds or not path or len(above) < len(path):
            return rules.imagine(state, path, seed)
        return rules.follow(self.worlds[above[-1].world], path, seed)

    def _is_code(self, edge: int) -> bool:
        return self._codes and edge >= self._num_actions


@jax.jit
def _edges(tree: Tree, rows: jax.Array) -> tuple[jax.Array, ...]:
    """Per node, the edge to it: parent and action i32[W, N], visits i32[W, N], Q-value and prior f32[W, N]."""
    return jax.vmap(lambda row: _edges_of(tree, row))(rows)


def _edges_of(tree: Tree, row: jax.Array) -> tuple[jax.Array, ...]:
    """Per node, the edge to it: parent and action i32[N], visits i32[N], Q-value and prior f32[N]."""
    nodes, children = tree.nodes[row], tree.children[row]
    parents = nodes[:, layout.PARENT].astype(jnp.int32)
    above = jnp.maximum(parents, 0)
    slots = children[above]  # [N, S, fields]
    here = layout.child_nodes(slots) == jnp.arange(nodes.shape[0], dtype=jnp.int32)[:, None]
    here = here & (parents >= 0)[:, None]

    def of_edge(field: int) -> jax.Array:
        return jnp.sum(jnp.where(here, slots[..., field], 0.0), axis=-1)

    priors = jnp.exp(of_edge(layout.PRIOR) - nodes[above, layout.PRIOR_MASS])
    actions = nodes[:, layout.ACTION].astype(jnp.int32)
    return parents, actions, of_edge(layout.VISITS).astype(jnp.int32), of_edge(layout.QVALUE), priors
