"""Tree search, slow and obvious: one game at a time, Python floats, nodes that know their children.

The reference that the fast search is compared with. Formulas:

- PUCT: Schrittwieser et al. 2020 (MuZero, arXiv 1911.08265), appendix B; a node's visits count its own
  evaluation.
- Gumbel: Danihelka et al. 2022 ("Policy improvement by planning with Gumbel"): sequential halving at the
  root, the improved policy's visit frequencies below it (section 5), the mixed value (appendix D).

A node's value is seen by the player who moves there; an edge's Q-value, `reward + discount * child's value`,
by the player who moves at its parent. A step with discount 0 ends the game: its node can be visited again,
but nothing grows below it. An action is illegal where the model's prior logit is -inf, and at the root also
where the caller says so.

Every result says how close its closest decision was (`margin`), because a search in single precision may
decide a near tie the other way.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ILLEGAL = -math.inf


class Root(NamedTuple):
    """What the model says of the position to search: logits of A actions, value, and its own state."""

    prior_logits: list[float]
    value: float
    embedding: Any


class Step(NamedTuple):
    """What the model says of one step: reward and discount, and of the position it leads to."""

    reward: float
    discount: float
    prior_logits: list[float]
    value: float
    embedding: Any


Model = Callable[[Any, int], Step]  # (embedding, action) -> Step


@dataclass
class Node:
    """A position of the tree, with the edge that leads to it."""

    prior_logits: list[float]
    raw_value: float
    embedding: Any
    reward: float = 0.0
    discount: float = 1.0
    visits: int = 0
    total_return: float = 0.0
    children: dict[int, "Node"] = field(default_factory=dict)

    def visit(self, value: float) -> None:
        """Records one visit that was worth `value` here."""
        self.visits += 1
        self.total_return += value

    @property
    def value(self) -> float:
        """Mean of what its visits were worth."""
        return self.total_return / self.visits

    @property
    def terminal(self) -> bool:
        """Whether the game is over here."""
        return self.discount == 0

    @property
    def actions(self) -> range:
        """All actions, legal or not."""
        return range(len(self.prior_logits))

    @property
    def legal_actions(self) -> list[int]:
        """The actions that may be played here."""
        return [action for action in self.actions if self.prior_logits[action] > ILLEGAL]

    def count(self, action: int) -> int:
        """N(a)."""
        return self.children[action].visits if action in self.children else 0

    def q(self, action: int) -> float:
        """Q(a) of a visited action."""
        child = self.children[action]
        return child.reward + child.discount * child.value


class Result(NamedTuple):
    """What a search returns for its one game."""

    action: int  # the best one; PUCT: the most visited
    action_weights: list[float]  # the policy to learn from
    root: Node
    margin: float  # least lead of a chosen action over the next best, in the whole search
    action_margin: float  # the same of `action` alone


QTransform = Callable[[Node], list[float]]  # one number an action


def puct_search(
    root: Root,
    model: Model,
    num_simulations: int,
    *,
    illegal: list[bool] | None = None,
    max_depth: int | None = None,
    qtransform: QTransform | None = None,
    pb_c_init: float = 1.25,
    pb_c_base: float = 19652.0,
) -> Result:
    """AlphaZero's and MuZero's search, without root noise.

    Args:
      root: the position to search.
      model: what the search plans with.
      num_simulations: how often to descend.
      illegal: A flags, true where an action may not be chosen at the root.
      max_depth: the most edges between the root and a leaf.
      qtransform: how Q-values become comparable with priors; default `normalised_by_siblings`.
      pb_c_init: c1.
      pb_c_base: c2.
    """
    normalised = qtransform or normalised_by_siblings

    def scores(node: Node) -> dict[int, float]:
        exploration = pb_c_init + math.log((node.visits + pb_c_base + 1) / pb_c_base)
        exploration *= math.sqrt(node.visits)
        prior, q = softmax(node.prior_logits), normalised(node)
        return {a: q[a] + exploration * prior[a] / (1 + node.count(a)) for a in node.legal_actions}

    search = _Search(model, max_depth, scores, scores)
    top = _root_node(root, illegal)
    for _ in range(num_simulations):
        search.simulate(top)
    visits = [top.count(action) for action in top.actions]
    action, lead = best({action: visits[action] for action in top.legal_actions})
    return Result(action, [visit / sum(visits) for visit in visits], top, search.margin, lead)


def gumbel_search(
    root: Root,
    model: Model,
    num_simulations: int,
    *,
    gumbel: list[float],
    illegal: list[bool] | None = None,
    max_depth: int | None = None,
    qtransform: QTransform | None = None,
    max_num_considered_actions: int = 16,
) -> Result:
    """Full Gumbel MuZero.

    Args:
      root: the position to search.
      model: what the search plans with.
      num_simulations: how often to descend.
      gumbel: the noise of the A actions, all zero for a search without noise.
      illegal: A flags, true where an action may not be chosen at the root.
      max_depth: the most edges between the root and a leaf.
      qtransform: sigma of the completed Q-values; default `completed_by_mix_value`.
      max_num_considered_actions: how many actions the first round of the halving compares.
    """
    sigma = qtransform or completed_by_mix_value
    top = _root_node(root, illegal)
    schedule = halving_counts(min(max_num_considered_actions, len(top.legal_actions)), num_simulations)

    def with_count(count: int) -> dict[int, float]:
        q = sigma(top)
        return {a: gumbel[a] + top.prior_logits[a] + q[a] for a in top.legal_actions if top.count(a) == count}

    def interior(node: Node) -> dict[int, float]:
        improved = softmax(added(node.prior_logits, sigma(node)))
        visited = sum(node.count(action) for action in node.actions)
        return {a: improved[a] - node.count(a) / (1 + visited) for a in node.legal_actions}

    search = _Search(model, max_depth, lambda node: with_count(next(schedule)), interior)
    for _ in range(num_simulations):
        search.simulate(top)
    action, lead = best(with_count(max(top.count(action) for action in top.actions)))
    return Result(action, softmax(added(top.prior_logits, sigma(top))), top, search.margin, lead)


def halving_counts(num_considered: int, num_simulations: int) -> Iterator[int]:
    """For each simulation in turn, how many visits the actions have that sequential halving chooses among.

    A round visits every action still in the race equally often, then drops the worse half (never below
    two). So "in the race" is "visited as often as the round has got", and the race's size only says how long
    a count lasts.
    """
    rounds = max(1, math.ceil(math.log2(num_considered)))
    size, count = num_considered, 0
    while True:
        for _ in range(max(1, num_simulations // (rounds * size))):
            yield from [count] * size
            count += 1
        size = size if size == 1 else max(2, size // 2)


def normalised_by_siblings(node: Node, *, epsilon: float = 1e-8) -> list[float]:
    """Q-values between the least and the greatest of the node's value and theirs; 0 where unvisited."""
    known = [node.value, *(node.q(action) for action in node.children)]
    return normalised_by_bounds(node, low=min(known), high=max(max(known), min(known) + epsilon))


def normalised_by_bounds(node: Node, *, low: float, high: float) -> list[float]:
    """Q-values as fractions of the way from `low` to `high`; 0 where unvisited."""
    return [(node.q(a) - low) / (high - low) if a in node.children else 0.0 for a in node.actions]


def completed_by_mix_value(
    node: Node,
    *,
    value_scale: float = 0.1,
    maxvisit_init: float = 50.0,
    rescale_values: bool = True,
    use_mixed_value: bool = True,
    epsilon: float = 1e-8,
) -> list[float]:
    """sigma(completed Q) of all A actions; unvisited ones take the node's mixed (or raw) value.

    Args:
      node: a node.
      value_scale: c_scale.
      maxvisit_init: c_visit.
      rescale_values: first map the completed Q-values, those of illegal actions included, to [0, 1].
      use_mixed_value: take the mixed value rather than the raw one.
      epsilon: least range that the rescaling maps to [0, 1].
    """
    missing = mixed_value(node) if use_mixed_value else node.raw_value
    q = [node.q(action) if action in node.children else missing for action in node.actions]
    if rescale_values:
        low, high = min(q), max(q)
        q = [(x - low) / max(high - low, epsilon) for x in q]
    scale = (maxvisit_init + max(node.count(action) for action in node.actions)) * value_scale
    return [scale * x for x in q]


def mixed_value(node: Node) -> float:
    """Mean of the raw value, weight 1, and the prior's mean of the known Q-values, weight sum N."""
    if not node.children:
        return node.raw_value
    prior = softmax(node.prior_logits)
    seen = sum(prior[action] for action in node.children)
    expected_q = sum(prior[action] / seen * node.q(action) for action in node.children)
    visits = sum(child.visits for child in node.children.values())
    return (node.raw_value + visits * expected_q) / (1 + visits)


def softmax(logits: list[float]) -> list[float]:
    """Probabilities; 0 where a logit is -inf."""
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def added(x: list[float], y: list[float]) -> list[float]:
    """x + y."""
    return [a + b for a, b in zip(x, y, strict=True)]


def best(scores: dict[int, float]) -> tuple[int, float]:
    """The action with the highest score, and its lead over the next."""
    ranked = sorted(scores, key=lambda action: -scores[action])
    lead = scores[ranked[0]] - scores[ranked[1]] if len(ranked) > 1 else math.inf
    return ranked[0], lead


class _Search:
    """Descend, expand, back up. Keeps the least lead of all its choices."""

    def __init__(self, model: Model, max_depth: int | None, root_scores, interior_scores) -> None:
        self.model = model
        self.max_depth = max_depth or math.inf
        self.root_scores = root_scores
        self.interior_scores = interior_scores
        self.margin = math.inf

    def simulate(self, node: Node, depth: int = 0) -> float:
        """One simulation from `node` on. Returns what it was worth there."""
        action, lead = best((self.interior_scores if depth else self.root_scores)(node))
        self.margin = min(self.margin, lead)
        is_new = action not in node.children
        if is_new:
            reward, discount, prior_logits, value, embedding = self.model(node.embedding, action)
            node.children[action] = Node(prior_logits, value, embedding, reward, discount)
        child = node.children[action]
        if is_new or child.terminal or depth + 1 == self.max_depth:
            worth = child.raw_value
            child.visit(worth)
        else:
            worth = self.simulate(child, depth + 1)
        worth = child.reward + child.discount * worth
        node.visit(worth)
        return worth


def _root_node(root: Root, illegal: list[bool] | None) -> Node:
    logits = [float(logit) for logit in root.prior_logits]
    if illegal is not None:
        logits = [ILLEGAL if banned else logit for logit, banned in zip(logits, illegal, strict=True)]
    node = Node(logits, float(root.value), root.embedding)
    node.visit(node.raw_value)
    return node
