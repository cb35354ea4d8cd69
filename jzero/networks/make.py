"""The networks of this package, made from settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import flax.linen as nn
import jax.numpy as jnp

from jzero.env_spec import EnvSpec
from jzero.networks.heads import PolicyValueNet
from jzero.networks.learned import MuZeroNet
from jzero.networks.network import Afterstate, LearnedNetwork, Network, Projection, ValuePrefix
from jzero.networks.prepare import prepared
from jzero.networks.towers import ResidualMLP, ResidualTower
from jzero.networks.transformer import Transformer
from jzero.pytrees import Params, PyTree
from jzero.settings import check

KINDS = ("mlp", "resnet", "transformer", "atari")


@dataclass(frozen=True)
class NetworkSettings:
    """The network: policy and value, and with a learned model its representation and dynamics."""

    kind: str = "mlp"
    """A residual MLP on the flattened observation (mlp), a residual tower of 3x3 convolutions on a board (resnet),
    a transformer over the observation's tokens (transformer, AlphaZero only), EfficientZero's network for pixels
    (atari, learned models only), or module:function, a function EnvSpec -> network."""
    width: int = 384
    """Hidden units (mlp, transformer) or channels (resnet, atari), also of a learned model's latent state."""
    blocks: int = 3
    """Residual blocks of two layers each, in the representation."""
    dynamics_blocks: int = 1
    """Learned model: residual blocks of the dynamics."""
    head_width: int = 64
    """Hidden units of each head."""
    policy_head: Literal["dense", "cells"] = "dense"
    """The policy's head: a hidden layer for all actions (dense), or that plus a number at each cell of the board
    (cells), from a resnet's features there or, for an mlp, from what is observed there. Cells are for AlphaZero in
    games whose first actions are the board's cells."""
    norm: Literal["layer", "group", "none"] = "layer"
    """Normalisation of all features of a position (layer), of groups of a tower's channels (group), or of the
    weights instead of the features (none), which needs less than half the kernels on a GPU. A transformer always
    has LayerNorm."""
    value_limit: float = 1.0
    """AlphaZero: largest absolute value of the value head. Above 1, for games with scores, values are on the scale
    h of MuZero's appendix F."""
    bf16: bool = False
    """Compute in bfloat16; parameters stay float32. The presets do so on a GPU or TPU."""
    bf16_products: bool = False
    """Compute only the products of dense layers in bfloat16, and everything else in float32; `bf16` overrides it.
    The presets do so for wide layers on a CPU with matrix units (AMX)."""
    chance_codes: int = 0
    """Learned model: number of chance outcomes per action (Stochastic MuZero: 32); 0: one successor per action."""

    def in_float32(self) -> NetworkSettings:
        """The same network, computed in float32."""
        return replace(self, bf16=False, bf16_products=False)

    @property
    def dtype(self) -> Any:
        """The dtype of the computation."""
        return jnp.bfloat16 if self.bf16 else jnp.float32

    @property
    def narrow(self) -> bool:
        """Whether only the products of dense layers are in bfloat16."""
        return self.bf16_products and not self.bf16

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        if self.kind not in KINDS and ":" not in self.kind:
            raise ValueError(
                f"network.kind is {self.kind!r}; expected {', '.join(KINDS)}, or module:function"
            )
        check("network.width", self.width, low=1)
        check("network.blocks", self.blocks, low=0)
        check("network.dynamics_blocks", self.dynamics_blocks, low=0)
        check("network.head_width", self.head_width, low=1)
        check("network.value_limit", self.value_limit, low=1)
        check("network.chance_codes", self.chance_codes, low=0)
        if self.chance_codes == 1:
            raise ValueError("network.chance_codes is 1, which means no chance: use 0, or at least 2")
        if self.policy_head == "cells" and self.kind not in ("resnet", "mlp"):
            raise ValueError(
                f"network.policy_head is 'cells', which {self.kind!r} cannot have: use dense, or "
                "--network.kind mlp or resnet"
            )
        if self.kind == "transformer" and self.norm == "none":
            raise ValueError("network.norm is 'none', but a transformer needs LayerNorm: use layer")
        if self.kind == "transformer" and self.width % 32:
            raise ValueError(
                f"network.width is {self.width}; a transformer's heads have 32 units: use a multiple of 32"
            )


def make_network(
    settings: NetworkSettings, num_actions: int, num_values: int = 1, further: dict[str, int] | None = None
) -> PolicyValueNet:
    """A policy and value network for `num_actions` actions, with one value or one per player.

    `further` gives names and output sizes of auxiliary heads.
    """
    dtype, narrow = settings.dtype, settings.narrow
    mlp = ResidualMLP(settings.width, settings.blocks, settings.norm, dtype, narrow)
    if settings.kind == "mlp":
        body = mlp
    elif settings.kind == "transformer":
        body = Transformer(settings.width, settings.blocks, dtype=dtype)
    else:
        body = ResidualTower(settings.width, settings.blocks, settings.norm, dtype)
    return PolicyValueNet(
        body,
        mlp.clone(),
        num_actions,
        settings.head_width,
        num_values,
        settings.value_limit,
        dtype=dtype,
        further=tuple((further or {}).items()),
        narrow=narrow,
        cells=settings.policy_head == "cells",
    )


def make_learned_network(
    settings: NetworkSettings,
    num_actions: int,
    action_size: int = 0,
    *,
    atoms: int,
    prefix_width: int = 0,
    projection_width: int = 0,
) -> MuZeroNet:
    """The network of a learned model for `num_actions` actions, or for action vectors of `action_size` numbers.

    The other arguments are those of `MuZeroNet`.
    """
    return MuZeroNet(
        num_actions=num_actions,
        kind=cast(Any, settings.kind),  # no transformer: TrainConfig refuses it
        width=settings.width,
        blocks=settings.blocks,
        dynamics_blocks=settings.dynamics_blocks,
        head_width=settings.head_width,
        atoms=atoms,
        prefix_width=prefix_width,
        projection_width=projection_width,
        norm=settings.norm,
        dtype=settings.dtype,
        action_size=action_size,
        chance_codes=settings.chance_codes,
        narrow=settings.narrow,
    )


def policy_value_network(
    spec: EnvSpec, settings: NetworkSettings, further: dict[str, int] | None = None
) -> Network:
    """AlphaZero's network for an environment; `further` gives names and output sizes of auxiliary heads."""
    module = make_network(settings, spec.num_actions, spec.num_values, further)
    with_all = partial(module.apply, auxiliary=True)
    return Network(
        partial(module.init, auxiliary=True) if further else module.init,  # pyrefly: ignore
        module.apply,  # pyrefly: ignore
        value_limit=settings.value_limit,
        prepare=partial(prepared, module.apply),
        auxiliary=with_all if further else None,  # pyrefly: ignore
    )


def learned_network(module: Any) -> LearnedNetwork:
    """The functions of a `MuZeroNet`, or of any object with its methods, attributes and `apply`."""

    def call(method: str) -> PyTree:
        return partial(_call, module, method)

    prefix = afterstate = projection = None
    if module.prefix_width:
        prefix = ValuePrefix(module.no_memory, call("step"))
    if module.chance_codes:
        functions = map(call, ("decide", "predict_afterstate", "encode"))
        afterstate = Afterstate(module.chance_codes, *functions)
    if module.projection_width:
        projection = Projection(call("project"), call("predict_projection"))
    return LearnedNetwork(
        init=module.init,
        represent=call("represent"),
        dynamics=partial(_step, module),
        predict=call("predict"),
        prefix=prefix,
        afterstate=afterstate,
        projection=projection,
        prepare=partial(prepared, module.apply),
    )


def _call(module: nn.Module, method: str, params: Params, *arguments: Any) -> PyTree:
    return module.apply(params, *arguments, method=method)


def _step(module: nn.Module, params: Params, latent: PyTree, action: Any) -> PyTree:
    """A step without a value prefix."""
    latent, _, reward = cast(Any, module.apply(params, latent, (), action, method="step"))
    return latent, reward
