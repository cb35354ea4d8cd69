"""Tree search, slow and obvious: one game at a time, Python floats, nodes that know their children.

The reference that the fast search is compared with. Formulas:

- PUCT: Schrittwieser et al. 2020 (MuZero, arXiv 1911.08265), appendix B; a node's visits count its own
  evaluation.
- Gumbel: Danihelka et al. 2022 ("Policy improvement by planning with Gumbel"): sequential halving at the
  root, the improved policy's visit frequencies below it (section 5), the mixed value (appendix D).
- Chance nodes: Antonoglou et al. 2022 (Stochastic MuZero, "Planning in stochastic environments with a learned
  model").
- More than two players: Luckhardt and Irani 1986 (max^n); values and rewards are one number a player.

A node's value is seen by the player who moves there; an edge's Q-value, `reward + discount * child's value`,
by the player who moves at its parent. A step with discount 0 ends the game: its node can be visited again,
but nothing grows below it. An action is illegal where the model's prior logit is -inf, and at the root also
where the caller says so.

Searches descend several times before the model is called if asked for parallel leaves. Visits under way are
in flight: `Node.in_flight` counts them by edge. They are no visits, and change no value; a `View` is how a
search reads a node as if they were.

Every result says how close its closest decision was (`margin`), because a search in single precision may
decide a near tie the other way.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
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


class Afterstate(NamedTuple):
    """What the model says of an action before chance answers: logits of C outcomes, value, its own state."""

    chance_logits: list[float]
    value: float
    embedding: Any


class PlayersRoot(NamedTuple):
    """`Root` of a game of P players: P values, and who of 0..P-1 is to move."""

    prior_logits: list[float]
    value: list[float]
    to_play: int
    embedding: Any


class PlayersStep(NamedTuple):
    """`Step` of a game of P players: P rewards, P values, and who is to move afterwards."""

    reward: list[float]
    discount: float  # the same for all; never negative
    prior_logits: list[float]
    value: list[float]
    to_play: int
    embedding: Any


Model = Callable[[Any, int], Step]  # (embedding, action) -> Step
DecisionModel = Callable[[Any, int], Afterstate]  # (state, action) -> Afterstate
ChanceModel = Callable[[Any, int], Step]  # (afterstate, outcome) -> Step
PlayersModel = Callable[[Any, int], PlayersStep]  # (embedding, action) -> PlayersStep


class Vector(tuple[float, ...]):
    """P numbers that are added and scaled like one."""

    __slots__ = ()

    def __add__(self, other: "Vector") -> "Vector":
        return Vector(x + y for x, y in zip(self, other, strict=True))

    def __rmul__(self, factor: float) -> "Vector":
        return Vector(factor * x for x in self)

    def __truediv__(self, divisor: float) -> "Vector":
        return Vector(x / divisor for x in self)


@dataclass
class Node:
    """A position of the tree, with the edge that leads to it.

    In a search for P players what is a value or a reward elsewhere is a `Vector`.
    """

    prior_logits: list[float]
    raw_value: float | Vector
    embedding: Any
    reward: float | Vector = 0.0
    discount: float = 1.0
    visits: int = 0
    total_return: float | Vector = 0.0
    children: dict[int, "Node"] = field(default_factory=dict)
    in_flight: Counter[int] = field(default_factory=Counter)  # f(a); a new edge has no child until evaluated
    is_chance: bool = False  # an afterstate, whose "actions" are the outcomes
    to_play: int = 0  # of P players

    def visit(self, value: float | Vector) -> None:
        """Records one visit that was worth `value` here."""
        self.visits += 1
        self.total_return += value

    @property
    def value(self) -> float | Vector:
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

    def q(self, action: int) -> float | Vector:
        """Q(a) of a visited action."""
        child = self.children[action]
        return child.reward + child.discount * child.value


class View:
    """A node to be read by scores and transforms. What a view does not say otherwise is as the node has it."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)


class InFlight(View):
    """A node whose visits in flight are counted as if made. Its value is as without them."""

    @property
    def visits(self) -> int:
        """V + F."""
        return self.node.visits + sum(self.node.in_flight.values())

    @property
    def children(self) -> list[int]:
        """The visited actions: n(a) + f(a) > 0."""
        flying = [action for action, count in self.node.in_flight.items() if count > 0]
        return [*self.node.children, *(action for action in flying if action not in self.node.children)]

    def count(self, action: int) -> int:
        """n(a) + f(a)."""
        return self.node.count(action) + self.node.in_flight[action]


class InFlightLost(InFlight):
    """A visit in flight is a loss: worth -1 to the player who moves at the node."""

    def q(self, action: int) -> float:
        """Mean of n(a) times Q(a) and f(a) times -1."""
        made, flying = self.node.count(action), self.node.in_flight[action]
        if flying == 0:
            return self.node.q(action)
        if made == 0:
            return -1.0
        return (made * self.node.q(action) - flying) / (made + flying)


class InFlightMean(InFlight):
    """A visit in flight is worth the mean: of the action, or of the node where the action has none."""

    def q(self, action: int) -> float:
        """Q(a), or the node's value where only visits in flight know the action."""
        return self.node.q(action) if self.node.count(action) > 0 else self.node.value


class ToMover(View):
    """A node of P players as the one to move there sees it."""

    @property
    def raw_value(self) -> float:
        """The mover's."""
        return self.node.raw_value[self.node.to_play]

    @property
    def value(self) -> float:
        """The mover's."""
        return self.node.value[self.node.to_play]

    def q(self, action: int) -> float:
        """The mover's, also where another player moves next."""
        return self.node.q(action)[self.node.to_play]


class Result(NamedTuple):
    """What a search returns for its one game."""

    action: int  # the best one; PUCT: the most visited
    action_weights: list[float]  # the policy to learn from
    root: Node
    margin: float  # least lead of a chosen action over the next best, in the whole search
    action_margin: float  # the same of `action` alone


QTransform = Callable[[Node | View], list[float]]  # one number an action


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
    leaves: int = 1,
    virtual: str = "visit",
    forced: float = 0.0,
    top: Node | None = None,
    decision_model: DecisionModel | None = None,
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
      leaves: how many descents the model is called for at once.
      virtual: how a descent sees the earlier ones of its call. "visit": exploration counts them. "loss":
        everything counts them, as `InFlightLost` has it. "mean": the same with `InFlightMean`.
      forced: k of the visits sqrt(k P N) that a tried action of the root is given first, and that the weights leave
        out (Wu 2019, section 3.2).
      top: a node of an earlier search to continue from.
      decision_model: if given, chance answers every action, and `model` takes afterstates and outcomes. A
        simulation that opens an action goes on with an outcome; afterstates have no value of their own.
    """
    normalised = qtransform or normalised_by_siblings

    def scores(node: Node) -> dict[int, float]:
        if virtual == "visit":
            return puct(InFlight(node), normalised(node), pb_c_init, pb_c_base)
        view = {"loss": InFlightLost, "mean": InFlightMean}[virtual](node)
        return puct(view, normalised(view), pb_c_init, pb_c_base)

    if num_simulations % leaves:
        raise ValueError(f"{num_simulations} simulations are no whole number of calls with {leaves} leaves")

    def root_scores(node: Node) -> dict[int, float]:
        found = scores(node)
        for action in node.children:
            if node.count(action) < _forced_visits(node, action, forced):
                found[action] += 1000
        return found

    search = _Search(
        _expand_with(model), max_depth, root_scores if forced else scores, scores, decision_model
    )
    start = _root_node(root, illegal, top)
    for _ in range(num_simulations // leaves):
        search.simulate(start, leaves)
    found = _most_visited(start, search)
    if not forced:
        return found
    q = normalised(start)
    visits = _without_forced(start, puct(start, q, pb_c_init, pb_c_base), q, pb_c_init, pb_c_base, forced)
    return found._replace(action_weights=[visit / sum(visits) for visit in visits])


def _forced_visits(node: Node, action: int, forced: float) -> float:
    tried = sum(node.count(a) for a in node.actions)
    return math.sqrt(forced * softmax(node.prior_logits)[action] * tried)


def _without_forced(
    node: Node, now: dict[int, float], q: list[float], pb_c_init: float, pb_c_base: float, forced: float
) -> list[int]:
    """Visits of all actions; takes them away one by one, as long as each action looks worse than the best."""
    most, _ = best({action: node.count(action) for action in node.legal_actions})
    exploration = (pb_c_init + math.log((node.visits + pb_c_base + 1) / pb_c_base)) * math.sqrt(node.visits)
    visits = [node.count(action) for action in node.actions]
    for action in node.children:
        if action == most:
            continue
        prior, least = (
            softmax(node.prior_logits)[action],
            visits[action] - _forced_visits(node, action, forced),
        )
        while visits[action] > 0:
            fewer = visits[action] - 1
            if fewer < least or q[action] + exploration * prior / (1 + fewer) > now[most]:
                break
            visits[action] = fewer
        if visits[action] <= 1:
            visits[action] = 0
    return visits


def stochastic_search(
    root: Root,
    decision_model: DecisionModel,
    chance_model: ChanceModel,
    num_simulations: int,
    *,
    illegal: list[bool] | None = None,
    max_depth: int | None = None,
    qtransform: QTransform | None = None,
    pb_c_init: float = 1.25,
    pb_c_base: float = 19652.0,
) -> Result:
    """Stochastic MuZero's search: PUCT where a player moves, expected frequencies where chance does.

    An action leads to an afterstate (reward 0, discount 1, so seen by the player who acted), and an outcome
    from there to the next state. Both are nodes, and each edge is one simulation's growth.

    Args:
      root: the position to search.
      decision_model: what the search plans actions with.
      chance_model: what the search plans outcomes with.
      num_simulations: how often to descend.
      illegal: A flags, true where an action may not be chosen at the root.
      max_depth: the most edges, to afterstates and to states, between the root and a leaf.
      qtransform: how Q-values become comparable with priors; default `normalised_by_siblings`.
      pb_c_init: c1.
      pb_c_base: c2.
    """
    normalised = qtransform or normalised_by_siblings

    def scores(node: Node) -> dict[int, float]:
        if node.is_chance:
            return expected_frequencies(node)
        return puct(node, normalised(node), pb_c_init, pb_c_base)

    expand_outcome = _expand_with(chance_model)

    def expand(node: Node, action: int) -> Node:
        if node.is_chance:
            return expand_outcome(node, action)
        chance_logits, value, embedding = decision_model(node.embedding, action)
        return Node(chance_logits, value, embedding, reward=0.0, discount=1.0, is_chance=True)

    search = _Search(expand, max_depth, scores, scores)
    start = _root_node(root, illegal)
    for _ in range(num_simulations):
        search.simulate(start)
    return _most_visited(start, search)


def maxn_search(
    root: PlayersRoot,
    model: PlayersModel,
    num_simulations: int,
    *,
    illegal: list[bool] | None = None,
    max_depth: int | None = None,
    qtransform: QTransform | None = None,
    pb_c_init: float = 1.25,
    pb_c_base: float = 19652.0,
) -> Result:
    """PUCT for P players, each of whom maximises their own value.

    In the tree returned, values, rewards and Q-values are `Vector`s of what all players get; `ToMover(node)`
    has the Q-values that were compared at a node.

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
    nothing = Vector([0.0] * len(root.value))

    def scores(node: Node) -> dict[int, float]:
        view = ToMover(node)
        return puct(view, normalised(view), pb_c_init, pb_c_base)

    def expand(node: Node, action: int) -> Node:
        reward, discount, prior_logits, value, to_play, embedding = model(node.embedding, action)
        return Node(
            prior_logits,
            Vector(value),
            embedding,
            Vector(reward),
            discount,
            total_return=nothing,
            to_play=to_play,
        )

    search = _Search(expand, max_depth, scores, scores)
    logits = _masked(root.prior_logits, illegal)
    value = Vector(float(x) for x in root.value)
    start = Node(logits, value, root.embedding, reward=nothing, total_return=nothing, to_play=root.to_play)
    start.visit(start.raw_value)
    for _ in range(num_simulations):
        search.simulate(start)
    return _most_visited(start, search)


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
    leaves: int = 1,
    top: Node | None = None,
    decision_model: DecisionModel | None = None,
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
      leaves: how many descents, all of them to actions of one count, the model is called for at once.
      top: a node of an earlier search to continue from; the halving starts anew.
      decision_model: as in `puct_search`.
    """
    sigma = qtransform or completed_by_mix_value
    start = _root_node(root, illegal, top)
    earlier = {action: start.count(action) for action in start.actions}
    num_considered = min(max_num_considered_actions, len(start.legal_actions))
    counts = list(itertools.islice(halving_counts(num_considered, num_simulations), num_simulations))
    schedule = iter(counts)

    def made(action: int) -> int:  # in this search, and not in flight
        return start.count(action) - earlier[action]

    def among(actions: list[int]) -> dict[int, float]:
        q = sigma(start)
        return {a: gumbel[a] + start.prior_logits[a] + q[a] for a in actions}

    def considered(node: Node) -> dict[int, float]:
        count = next(schedule)
        return among([a for a in node.legal_actions if made(a) + node.in_flight[a] == count])

    def interior(node: Node) -> dict[int, float]:
        improved = softmax(added(node.prior_logits, sigma(node)))
        visited = sum(node.count(action) for action in node.actions)
        return {a: improved[a] - node.count(a) / (1 + visited) for a in node.legal_actions}

    search = _Search(_expand_with(model), max_depth, considered, interior, decision_model)
    for call in calls_of_one_count(counts, leaves):
        search.simulate(start, len(call))
    most = max(made(action) for action in start.legal_actions)
    action, lead = best(among([a for a in start.legal_actions if made(a) == most]))
    return Result(action, softmax(added(start.prior_logits, sigma(start))), start, search.margin, lead)


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


def calls_of_one_count(counts: list[int], leaves: int) -> list[list[int]]:
    """The simulations' counts, split into calls: as many in a row as are equal, but `leaves` at most."""
    calls: list[list[int]] = []
    for count in counts:
        if calls and calls[-1][0] == count and len(calls[-1]) < leaves:
            calls[-1].append(count)
        else:
            calls.append([count])
    return calls


def expected_frequencies(node: Node) -> dict[int, float]:
    """The score of each outcome at an afterstate."""
    chance = softmax(node.prior_logits)
    return {c: chance[c] / (node.count(c) + node.in_flight[c] + 1) for c in node.legal_actions}


def puct(node: Node | View, q: list[float], pb_c_init: float, pb_c_base: float) -> dict[int, float]:
    """The score of each legal action, with transformed Q-values `q` and the node's own counts."""
    exploration = pb_c_init + math.log((node.visits + pb_c_base + 1) / pb_c_base)
    exploration *= math.sqrt(node.visits)
    prior = softmax(node.prior_logits)
    return {a: q[a] + exploration * prior[a] / (1 + node.count(a)) for a in node.legal_actions}


def normalised_by_siblings(node: Node | View, *, epsilon: float = 1e-8) -> list[float]:
    """Q-values between the least and the greatest of the node's value and theirs; 0 where unvisited."""
    known = [node.value, *(node.q(action) for action in node.children)]
    return normalised_by_bounds(node, low=min(known), high=max(max(known), min(known) + epsilon))


def normalised_by_bounds(node: Node | View, *, low: float, high: float) -> list[float]:
    """Q-values as fractions of the way from `low` to `high`; 0 where unvisited."""
    return [(node.q(a) - low) / (high - low) if a in node.children else 0.0 for a in node.actions]


def completed_by_mix_value(
    node: Node | View,
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


def mixed_value(node: Node | View) -> float:
    """Mean of the raw value, weight 1, and the prior's mean of the known Q-values, weight sum N."""
    if not node.children:
        return node.raw_value
    prior = softmax(node.prior_logits)
    seen = sum(prior[action] for action in node.children)
    expected_q = sum(prior[action] / seen * node.q(action) for action in node.children)
    visits = sum(node.count(action) for action in node.children)
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

    def __init__(
        self,
        expand: Callable[[Node, int], Node],  # calls the model for a new child
        max_depth: int | None,
        root_scores: Callable[[Node], dict[int, float]],
        interior_scores: Callable[[Node], dict[int, float]],
        decision_model: DecisionModel | None = None,
    ) -> None:
        self.expand = expand
        self.decision_model = decision_model
        self.afterstates: dict[tuple[int, int], Node] = {}  # of edges opened in this call
        self.max_depth = max_depth or math.inf
        self.root_scores = root_scores
        self.interior_scores = interior_scores
        self.margin = math.inf

    def simulate(self, top: Node, leaves: int = 1) -> None:
        """One call: `leaves` simulations that do not know each other's values."""
        paths = [self._descend(top) for _ in range(leaves)]
        for path in paths:
            for node, action in path:
                if (id(node), action) in self.afterstates:
                    node.children[action] = self.afterstates.pop((id(node), action))
            node, action = path[-1]
            if action not in node.children:  # nor evaluated for an earlier path that ended here too
                node.children[action] = self.expand(node, action)
        for path in paths:
            self._back_up(path)

    def _descend(self, top: Node) -> list[tuple[Node, int]]:
        """Chooses edges down to a leaf, and marks them as in flight."""
        path = []
        node = top
        while True:
            if node.is_chance and self.decision_model:
                scores = expected_frequencies(node)
            else:
                scores = (self.interior_scores if path else self.root_scores)(node)
            action, lead = best(scores)
            self.margin = min(self.margin, lead)
            path.append((node, action))
            node.in_flight[action] += 1
            if action not in node.children and self.decision_model and not node.is_chance:
                node = self._afterstate(node, action)
                continue
            if action not in node.children:  # new, or opened earlier in this call
                return path
            node = node.children[action]
            if node.terminal or len(path) == self.max_depth:
                return path

    def _afterstate(self, node: Node, action: int) -> Node:
        """The chance node of an action that was opened in this call; a child once its outcome is evaluated."""
        key = id(node), action
        if key not in self.afterstates:
            chance_logits, _, after = self.decision_model(node.embedding, action)
            self.afterstates[key] = Node(chance_logits, 0.0, after, is_chance=True)
        return self.afterstates[key]

    def _back_up(self, path: list[tuple[Node, int]]) -> None:
        """Visits the leaf and every node above it. Nothing is in flight on the path any more."""
        node, action = path[-1]
        leaf = node.children[action]
        worth = leaf.raw_value
        leaf.visit(worth)
        for node, action in reversed(path):
            child = node.children[action]
            worth = child.reward + child.discount * worth
            node.visit(worth)
            node.in_flight[action] -= 1


def _expand_with(model: Model | ChanceModel) -> Callable[[Node, int], Node]:
    def expand(node: Node, action: int) -> Node:
        reward, discount, prior_logits, value, embedding = model(node.embedding, action)
        return Node(prior_logits, value, embedding, reward, discount)

    return expand


def _most_visited(top: Node, search: _Search) -> Result:
    visits = [top.count(action) for action in top.actions]
    action, lead = best({action: visits[action] for action in top.legal_actions})
    return Result(action, [visit / sum(visits) for visit in visits], top, search.margin, lead)


def _masked(prior_logits: list[float], illegal: list[bool] | None) -> list[float]:
    logits = [float(logit) for logit in prior_logits]
    if illegal is None:
        return logits
    return [ILLEGAL if banned else logit for logit, banned in zip(logits, illegal, strict=True)]


def _root_node(root: Root, illegal: list[bool] | None, earlier: Node | None = None) -> Node:
    """A root evaluated once, with what an earlier search made below the same position if that is given."""
    node = Node(_masked(root.prior_logits, illegal), float(root.value), root.embedding)
    node.visit(node.raw_value)
    if earlier is not None:
        for action in earlier.children:
            if action in node.legal_actions:
                child = _copied(earlier.children[action])
                node.children[action] = child
                node.visits += child.visits
                node.total_return += child.visits * node.q(action)
    return node


def _copied(node: Node) -> Node:
    """A copy of a subtree, so that a search that continues from it leaves the earlier result alone."""
    children = {action: _copied(child) for action, child in node.children.items()}
    return replace(node, children=children, in_flight=Counter())
