"""Settings of a run: frozen dataclasses, checked when they are made, each field also a command-line option."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_type_hints

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True)
class SearchConfig:
    """How a move is chosen."""

    policy: Literal["gumbel", "puct"] = "gumbel"
    """Gumbel (sequential halving, improved policy as target) or PUCT (visit counts as target)."""
    num_simulations: int = 32
    """Simulations a move in self-play."""
    max_considered: int = 16
    """Gumbel: actions of the first halving round."""
    sampled_actions: int = 16
    """Continuous actions: candidates that every node draws from its policy."""
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
    worlds: int = 1
    """Hidden information: how many worlds a move searches, each drawn consistently with what the mover has seen."""
    reuse: bool = False
    """Self-play goes on with the subtree of the action played, until the weights change (a simulator without chance
    and hidden information only)."""
    min_value_range: float = 0.01
    """Rescaled Q-values are divided by at least this much, so that noise is not blown up (EfficientZero's soft
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
        check("search.worlds", self.worlds, low=1)
        check("search.min_value_range", self.min_value_range, above=0)


@dataclass(frozen=True)
class NetworkConfig:
    """The network: policy and value, and with a learned model its representation and dynamics."""

    kind: Literal["mlp", "resnet", "transformer", "atari"] = "mlp"
    """Residual MLP on the flattened observation, residual tower of 3x3 convolutions on a board, transformer over
    the observation's tokens (AlphaZero only), or EfficientZero's network for pixels (learned models only)."""
    width: int = 384
    """Hidden units (mlp, transformer) or channels (resnet, atari); also of a learned model's latent state."""
    blocks: int = 3
    """Residual blocks of two layers each, in the representation."""
    dynamics_blocks: int = 1
    """Learned model: residual blocks of the dynamics."""
    head_width: int = 64
    """Hidden units of each head."""
    norm: Literal["layer", "group", "none"] = "layer"
    """Normalisation: over all of a position, over groups of a tower's channels, or none of features but of weights,
    which takes less than half of the kernels on a GPU. A transformer always has LayerNorm."""
    value_limit: float = 1.0
    """AlphaZero: largest absolute value that the network can express. Above 1, for games of scores, values are
    learned on the scale h of MuZero's appendix F, on which 10,000 and 10,100 are as near as 1 and 1.5."""
    bf16: bool = False
    """Compute in bfloat16; parameters stay float32. The experiments do so on a GPU or TPU."""
    chance_codes: int = 0
    """Learned model: outcomes of chance that it can tell apart after an action (Stochastic MuZero: 32); 0 learns
    one successor of each action."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check("network.width", self.width, low=1)
        check("network.blocks", self.blocks, low=0)
        check("network.dynamics_blocks", self.dynamics_blocks, low=0)
        check("network.head_width", self.head_width, low=1)
        check("network.value_limit", self.value_limit, low=1)
        check("network.chance_codes", self.chance_codes, low=0)
        if self.chance_codes == 1:
            raise ValueError("network.chance_codes is 1; one outcome is no chance: use 0, or at least 2")
        if self.kind == "transformer" and self.norm == "none":
            raise ValueError("network.norm is 'none'; a transformer needs its LayerNorm: use layer")
        if self.kind == "transformer" and self.width % 32:
            raise ValueError(
                f"network.width is {self.width}; a transformer's heads have 32 units: use a multiple of 32"
            )


@dataclass(frozen=True)
class MuZeroConfig:
    """A learned model: what is learned of it and how. EfficientZero is MuZero with its parts switched on."""

    unroll_steps: int = 5
    """Steps K that the model is unrolled for in training."""
    td_steps: int = 0
    """Steps n of the value target's return; 0 for TD(lambda) to the game's end (`td_lambda`)."""
    value_limit: float = 1.0
    """Largest absolute value that the value head can express; larger targets are clamped and counted."""
    reward_limit: float = 1.0
    """Largest absolute reward (with a value prefix: sum of five rewards) that the reward head can express."""
    atoms: int = 21
    """Atoms of the categorical values and rewards; odd."""
    reward_weight: float = 1.0
    """Weight of the reward loss."""
    value_prefix: bool = False
    """EfficientZero: predict the sum of rewards since the last reset by an LSTM, not single rewards."""
    prefix_horizon: int = 5
    """Steps after which the value prefix starts again."""
    prefix_width: int = 64
    """Units of the value prefix's LSTM (EfficientZero: 512)."""
    consistency_weight: float = 0.0
    """EfficientZero: weight of the consistency of unrolled and observed latent states (2 there); 0 is off."""
    projection_width: int = 128
    """Units of the consistency's projector and predictor (EfficientZero: 1024 and 512)."""
    commitment_weight: float = 0.25
    """Chance codes: beta, the weight of the encoder's commitment to its code (0.25 in VQ-VAE, van den Oord et al.
    2017)."""
    code_information_weight: float = 0.0
    """Chance codes: weight of what codes tell of the steps they belong to, in nats, which the loss then rewards; it
    keeps them from becoming all the same. 0 is the paper's loss."""
    reanalyse: float = 0.0
    """Share of each batch whose policies and values are searched again with the averaged weights."""
    bootstrap: Literal["search", "network"] = "search"
    """What ends an n-step return after n steps: the search's value on record, or the averaged network's of today. A
    time limit and a random move end it with the search's."""
    td_age: int = 0
    """EfficientZero's off-policy correction: the return loses a step for each so many positions of age (there 0.3
    of the run), down to one; 0 is off."""
    search_value_age: int = 0
    """EfficientZero V2's mixed value target: positions older than this many take the search's value as the target;
    0 is off."""
    priority_exponent: float = 0.0
    """alpha of prioritised replay (MuZero 1, EfficientZero 0.6); 0 samples uniformly."""
    priority_correction: float = 1.0
    """beta of prioritised replay's importance weights."""
    entropy_weight: float = 0.0
    """Continuous actions: weight of the policy's entropy, which the loss then rewards (EfficientZero V2: 0.005)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        for name in ("unroll_steps", "prefix_horizon", "prefix_width", "projection_width"):
            check(f"muzero.{name}", getattr(self, name), low=1)
        for name in (
            "td_steps",
            "reward_weight",
            "consistency_weight",
            "commitment_weight",
            "code_information_weight",
            "td_age",
            "search_value_age",
            "entropy_weight",
        ):
            check(f"muzero.{name}", getattr(self, name), low=0)
        for name in ("reanalyse", "priority_exponent", "priority_correction"):
            check(f"muzero.{name}", getattr(self, name), low=0, high=1)
        for name in ("value_limit", "reward_limit"):
            check(f"muzero.{name}", getattr(self, name), above=0)
        check("muzero.atoms", self.atoms, low=3)
        if self.atoms % 2 == 0:
            raise ValueError(f"muzero.atoms is {self.atoms}; it must be odd, so that 0 is an atom")
        for name in ("td_age", "search_value_age"):
            if getattr(self, name) and not self.td_steps:
                raise ValueError(
                    f"muzero.{name} is {getattr(self, name)}; it needs muzero.td_steps of at least 1"
                )
        if self.bootstrap == "network" and not self.td_steps:
            raise ValueError('muzero.bootstrap is "network"; it needs muzero.td_steps of at least 1')


Algorithm = Literal["alphazero", "muzero", "gumbel_muzero", "efficientzero", "efficientzero_v2"]
"""AlphaZero plans with the environment itself, the others with a learned model; they differ in their presets."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes; with the same seed and devices it computes the same bits."""

    env: str = "connect_four"
    """Environment: a registered name or module:Class."""
    seed: int = 0
    """Seed of the networks, the games and the sampling."""
    algorithm: Algorithm = "alphazero"
    """Chooses the experiment's preset; what is planned with: the environment (alphazero) or a learned model."""
    search: SearchConfig = field(default_factory=SearchConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    muzero: MuZeroConfig = field(default_factory=MuZeroConfig)
    games: int = 1024
    """Games played side by side, over all devices."""
    plies: int = 16
    """Plies each game advances by in one iteration."""
    opening_plies: int = 0
    """A new game begins with 0 to this many random plies, for diverse positions."""
    random_move_fraction: float = 0.0
    """Chance that self-play takes a uniformly random legal action after the search, at every ply."""
    cut_at_random_moves: bool = True
    """Cut value targets at random moves, where the search's value stands in; else what they led to is learned from
    as part of the play, which finds out what actions are worth that the search has given up."""
    temperature_plies: int = 0
    """PUCT or worlds: plies in which actions are drawn from the search's policy; greedy afterwards."""
    fast_simulations: int = 0
    """Simulations of a fast move (playout-cap randomisation); 0 switches it off."""
    full_search_fraction: float = 1.0
    """Share of plies searched with all simulations; only these train the policy."""
    resign_below: float = -1.0
    """Two players: the mover resigns when the search's value is below this; -1 is off."""
    resign_holdout: float = 0.1
    """Share of games in which nobody resigns, to see how often resigning would have been wrong."""
    discount: float = 1.0
    """Discount a ply; the sign of two-player games is added by the model."""
    td_lambda: float = 1.0
    """Value target: 1 is the game's outcome, 0 the search value of the next ply, between them TD(lambda)."""
    td_lookahead: int = 0
    """AlphaZero: learn from positions of a game in progress once so many later plies are known; their returns end
    with the search's value, which then weighs td_lambda ** td_lookahead. 0 waits for the end of the game."""
    replay_plies: int = 512
    """Plies of each game row that the replay holds: positions in all are games x replay_plies."""
    warmup_iterations: int = 2
    """Iterations of self-play before the first update."""
    batch_size: int = 1024
    """Positions of one update, over all devices."""
    updates: int = 64
    """Updates an iteration."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    weight_decay: float = 1e-4
    """Decoupled weight decay (AdamW)."""
    value_weight: float = 1.0
    """Weight of the value loss beside the policy loss."""
    max_grad_norm: float = 5.0
    """Gradients are clipped to this global norm."""
    ema_decay: float = 0.99
    """Decay an update of the averaged weights, which play and are evaluated; 0 uses the newest weights."""
    augment: bool = True
    """Train on a random symmetric image of each position."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        for name in ("games", "plies", "batch_size", "updates"):
            check(name, getattr(self, name), low=1)
        for name in (
            "opening_plies",
            "temperature_plies",
            "fast_simulations",
            "td_lookahead",
            "warmup_iterations",
        ):
            check(name, getattr(self, name), low=0)
        for name in ("random_move_fraction", "resign_holdout", "discount", "td_lambda"):
            check(name, getattr(self, name), low=0, high=1)
        check("resign_below", self.resign_below, low=-1, below=0)
        check("full_search_fraction", self.full_search_fraction, above=0, high=1)
        check("replay_plies", self.replay_plies, low=self.plies)
        check("learning_rate", self.learning_rate, above=0)
        check("weight_decay", self.weight_decay, low=0)
        check("value_weight", self.value_weight, low=0)
        check("max_grad_norm", self.max_grad_norm, above=0)
        check("ema_decay", self.ema_decay, low=0, below=1)
        if self.network.kind == "atari" and self.algorithm == "alphazero":
            raise ValueError("network.kind is 'atari'; it has a learned model only: use mlp or resnet")
        if self.network.kind == "transformer" and self.algorithm != "alphazero":
            raise ValueError("network.kind is 'transformer'; it has no learned model: use mlp or resnet")
        if self.network.chance_codes and self.algorithm == "alphazero":
            raise ValueError(
                f"network.chance_codes is {self.network.chance_codes}; AlphaZero asks the environment what chance "
                "may do (docs/chance.md) and learns no model of it: use 0, or --algorithm muzero, gumbel_muzero or "
                "efficientzero"
            )
        if self.td_lookahead and self.algorithm != "alphazero":
            raise ValueError(
                f"td_lookahead is {self.td_lookahead}; it is for AlphaZero: with {self.algorithm} use "
                "--muzero.td-steps, returns of so many steps"
            )
        if self.full_search_fraction < 1:
            check("fast_simulations (with full_search_fraction below 1)", self.fast_simulations, low=1)


def check(
    name: str,
    value: float,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> None:
    """Raises ValueError naming the setting, its value and its range unless `value` lies within the bounds."""
    bounds = [
        (low, "at least", lambda bound: value >= bound),
        (above, "greater than", lambda bound: value > bound),
        (high, "at most", lambda bound: value <= bound),
        (below, "less than", lambda bound: value < bound),
    ]
    given = [(bound, words, holds) for bound, words, holds in bounds if bound is not None]
    # `not holds` also refuses NaN.
    if any(not holds(bound) for bound, _, holds in given):
        wanted = " and ".join(f"{words} {bound:g}" for bound, words, _ in given)
        raise ValueError(f"{name} is {value!r}; it must be {wanted}")


def from_dict(cls: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """The dataclass `cls` from a (nested) dictionary, as `dataclasses.asdict` makes it.

    Raises:
      ValueError: a key is not a field of `cls`.
    """
    hints = get_type_hints(cls)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no field {', '.join(unknown)}; was it saved by another version?"
        )
    nested = {name for name in values if dataclasses.is_dataclass(hints[name])}
    return cls(
        **{name: from_dict(hints[name], value) if name in nested else value for name, value in values.items()}
    )


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """One line for each field in which two configurations differ."""
    found: list[str] = []
    for item in dataclasses.fields(old):
        before, after = getattr(old, item.name), getattr(new, item.name)
        if dataclasses.is_dataclass(before):
            found += differences(before, after, f"{prefix}{item.name}.")
        elif before != after:
            found.append(f"{prefix}{item.name} was {before!r} and is now {after!r}")
    return found
