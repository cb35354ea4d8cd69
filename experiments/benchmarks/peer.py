"""The baseline of the training benchmarks: AlphaZero for Connect Four from pgx, mctx, flax and optax.

pgx has the rules, mctx the search, flax the network, optax the optimiser, each used through its public interface
as in its own examples: a window of self-play from fresh games in one `lax.scan` with `auto_reset`, Gumbel search on
the true game, value targets by a backward scan, one pass of minibatches. For a fair comparison it is as fast as
these packages allow:

- everything but the Python loop over minibatches is compiled, and arrays that an update replaces are donated;
- updates are dispatched one by one: on a CPU, XLA runs a convolution's gradient many times slower inside a loop
  than outside;
- `num_devices` splits the games over devices. This matters on a CPU, where XLA uses little more than one core
  inside a loop: set the environment variable JAX_NUM_CPU_DEVICES to the number of cores, or jax's configuration
  `jax_num_cpu_devices` before importing this module (importing pgx starts jax).

Axes: B games, T plies per window, N simulations, M positions per minibatch, A actions.
Needs pgx: `pip install -e ".[test]"`. Run as a script, it measures itself.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import mctx
import optax
import pgx
import tyro
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from pgx.experimental import auto_reset

Variables = Any
"""The dict of `flax.linen.Module.init`: "params" and, if the network has them, "batch_stats"."""


@dataclasses.dataclass(frozen=True)
class PeerConfig:
    """Settings of the peer."""

    network: Literal["conv", "mlp"] = "conv"
    """Residual tower of convolutions with BatchNorm, or residual MLP with LayerNorm."""
    num_blocks: int = 3
    """Residual blocks."""
    width: int = 32
    """Channels per convolution, or units per layer of the MLP."""
    batch_size: int = 256
    """Games side by side (B)."""
    num_simulations: int = 32
    """Simulations per move (N)."""
    window: int = 32
    """Plies of self-play per iteration (T)."""
    minibatch_size: int = 256
    """Positions per update (M)."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    q_epsilon: float = 1e-8
    """Least range of Q-values that the search scales to [0, 1]; mctx's default turns noise into sharp targets."""
    num_devices: int = 1
    """Devices that share the games of self-play; updates run on the first."""


class ConvNetwork(nn.Module):
    """Residual tower of 3x3 convolutions: observations [B, 6, 7, 2] -> policy logits [B, A], values [B]."""

    num_actions: int
    num_blocks: int
    channels: int

    @nn.compact
    def __call__(self, observation: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        conv = partial(nn.Conv, use_bias=False)
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        x = nn.relu(norm()(conv(self.channels, (3, 3))(observation.astype(jnp.float32))))
        for _ in range(self.num_blocks):
            y = nn.relu(norm()(conv(self.channels, (3, 3))(x)))
            x = nn.relu(x + norm()(conv(self.channels, (3, 3))(y)))
        policy = nn.relu(norm()(conv(2, (1, 1))(x))).reshape(x.shape[0], -1)
        value = nn.relu(norm()(conv(1, (1, 1))(x))).reshape(x.shape[0], -1)
        value = nn.Dense(1)(nn.relu(nn.Dense(self.channels)(value)))
        return nn.Dense(self.num_actions)(policy), jnp.tanh(value[:, 0])


class MlpNetwork(nn.Module):
    """Residual MLP: observations [B, ...] -> policy logits [B, A], values [B]."""

    num_actions: int
    num_blocks: int
    width: int

    @nn.compact
    def __call__(self, observation: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = nn.Dense(self.width)(observation.astype(jnp.float32).reshape(observation.shape[0], -1))
        for _ in range(self.num_blocks):
            y = nn.relu(nn.Dense(self.width)(nn.LayerNorm()(x)))
            x = x + nn.Dense(self.width)(y)
        x = nn.relu(nn.LayerNorm()(x))
        return nn.Dense(self.num_actions)(x), jnp.tanh(nn.Dense(1)(x)[:, 0])


class Window(NamedTuple):
    """The record of self-play; rewards and discounts are of the move played, for its mover."""

    observation: jax.Array  # bool [T, B, 6, 7, 2]
    action_weights: jax.Array  # f32 [T, B, A]: the search's improved policy
    reward: jax.Array  # f32 [T, B]
    discount: jax.Array  # f32 [T, B]: -1, or 0 where the game ended
    terminated: jax.Array  # bool [T, B]


class Batch(NamedTuple):
    """Positions to train on; leading axes [M], or any."""

    observation: jax.Array  # bool [M, 6, 7, 2]
    policy: jax.Array  # f32 [M, A]
    value: jax.Array  # f32 [M]
    has_value: jax.Array  # bool [M]: the game ended inside the window


class PeerState(NamedTuple):
    """Everything that an iteration changes."""

    variables: Variables
    opt_state: optax.OptState
    positions: int  # plies played
    evaluations: int  # of the network, in self-play
    updates: int  # minibatches trained on


class Peer:
    """The whole program: `init`, then repeated `iteration`, or its parts `self_play` and `update`.

    Raises ValueError if `num_devices` exceeds the devices present, if the games do not divide over them, or if a
    minibatch exceeds a window.
    """

    def __init__(self, config: PeerConfig, network: nn.Module | None = None):
        if config.num_devices > len(jax.devices()):
            raise ValueError(
                f"num_devices must be at most {len(jax.devices())}, the devices jax sees, got "
                f"{config.num_devices}; on a CPU set the environment variable JAX_NUM_CPU_DEVICES"
            )
        if config.batch_size % config.num_devices:
            raise ValueError(
                f"batch_size must be a multiple of num_devices, got {config.batch_size} games for "
                f"{config.num_devices} devices"
            )
        if config.minibatch_size > config.batch_size * config.window:
            raise ValueError(
                f"minibatch_size must be at most batch_size * window = {config.batch_size * config.window}, "
                f"got {config.minibatch_size}"
            )
        self.config = config
        self.env = pgx.make("connect_four")
        self.network = network or default_network(config, self.env.num_actions)
        self.optimizer = optax.adam(config.learning_rate)
        self._device = jax.devices()[0]
        self._mesh = Mesh(jax.devices()[: config.num_devices], ("games",))
        self._play = jax.jit(self._play_on_mesh())
        self._minibatches = jax.jit(self._split)
        self._update = jax.jit(self._learn, donate_argnums=(0, 1))

    @property
    def positions_per_iteration(self) -> int:
        """Plies per window."""
        return self.config.batch_size * self.config.window

    @property
    def evaluations_per_iteration(self) -> int:
        """Network evaluations per window: for every ply, the root's and one per simulation."""
        return self.positions_per_iteration * (1 + self.config.num_simulations)

    @property
    def updates_per_iteration(self) -> int:
        """Minibatches per pass over a window; a last partial one is left out."""
        return self.positions_per_iteration // self.config.minibatch_size

    def init(self, key: jax.Array) -> PeerState:
        """Fresh variables and optimiser state."""
        observation = jnp.zeros((1, *self.env.observation_shape), jnp.bool_)
        variables = dict(self.network.init(key, observation))
        opt_state = self.optimizer.init(variables["params"])
        variables, opt_state = jax.device_put((variables, opt_state), self._device)
        return PeerState(variables, opt_state, positions=0, evaluations=0, updates=0)

    def search(
        self, variables: Variables, key: jax.Array, states: pgx.State, gumbel_scale: float = 1.0
    ) -> mctx.PolicyOutput:
        """Gumbel search from unfinished games [B]; matches use `gumbel_scale` 0."""
        logits, value = self._evaluate(variables, states)
        return mctx.gumbel_muzero_policy(
            variables,
            key,
            mctx.RootFnOutput(prior_logits=logits, value=value, embedding=states),
            self._expand,
            num_simulations=self.config.num_simulations,
            invalid_actions=~states.legal_action_mask,
            qtransform=partial(mctx.qtransform_completed_by_mix_value, epsilon=self.config.q_epsilon),
            gumbel_scale=gumbel_scale,
        )

    def self_play(self, variables: Variables, key: jax.Array) -> Window:
        """T plies of B games from their start; a new game follows a finished one."""
        if self.config.num_devices == 1:
            return self._play(variables, key)
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        window = self._play(*jax.device_put((variables, key), everywhere))
        return jax.device_put(window, self._device)

    def minibatches(self, window: Window, key: jax.Array) -> tuple[Batch, ...]:
        """The window's positions with their targets, shuffled and cut into minibatches."""
        return self._minibatches(window, key)

    def update(
        self, variables: Variables, opt_state: optax.OptState, batch: Batch
    ) -> tuple[Variables, optax.OptState, dict[str, jax.Array]]:
        """One step of Adam; the variables and optimiser state passed in are donated."""
        return self._update(variables, opt_state, batch)

    def iteration(self, state: PeerState, key: jax.Array) -> tuple[PeerState, dict[str, jax.Array]]:
        """One window of self-play and one pass over it.

        Also returns the losses of the last update, without waiting. The state passed in is donated.
        """
        play_key, shuffle_key = jax.random.split(key)
        variables, opt_state = state.variables, state.opt_state
        losses: dict[str, jax.Array] = {}
        for batch in self.minibatches(self.self_play(variables, play_key), shuffle_key):
            variables, opt_state, losses = self.update(variables, opt_state, batch)
        state = PeerState(
            variables,
            opt_state,
            positions=state.positions + self.positions_per_iteration,
            evaluations=state.evaluations + self.evaluations_per_iteration,
            updates=state.updates + self.updates_per_iteration,
        )
        return state, losses

    def _evaluate(self, variables: Variables, states: pgx.State) -> tuple[jax.Array, jax.Array]:
        """Logits [B, A] with illegal actions masked, values [B]."""
        logits, value = cast(Any, self.network.apply(variables, states.observation))
        return jnp.where(states.legal_action_mask, logits, jnp.finfo(logits.dtype).min), value

    def _expand(
        self, variables: Variables, key: jax.Array, action: chex.Array, states: pgx.State
    ) -> tuple[mctx.RecurrentFnOutput, pgx.State]:
        """The search's recurrent function: one step of the true game."""
        del key  # Connect Four has no chance
        mover = states.current_player
        states = jax.vmap(self.env.step)(states, action)
        logits, value = self._evaluate(variables, states)
        output = mctx.RecurrentFnOutput(
            reward=_of_player(states.rewards, mover),
            discount=jnp.where(states.terminated, 0.0, -1.0),
            prior_logits=logits,
            value=jnp.where(states.terminated, 0.0, value),
        )
        return output, states

    def _play_on_mesh(self) -> Callable[[Variables, jax.Array], Window]:
        """Self-play as a function of (variables, key); each device plays its share of the games."""
        num_games = self.config.batch_size // self.config.num_devices
        if self.config.num_devices == 1:
            return partial(self._play_games, num_games)

        def play(variables: Variables, key: jax.Array) -> Window:
            return self._play_games(
                num_games, variables, jax.random.fold_in(key, jax.lax.axis_index("games"))
            )

        # mctx's loops mix constants with values that vary over devices; the check rejects that.
        return jax.shard_map(
            play,
            mesh=self._mesh,
            in_specs=PartitionSpec(),
            out_specs=PartitionSpec(None, "games"),
            check_vma=False,
        )

    def _play_games(self, num_games: int, variables: Variables, key: jax.Array) -> Window:
        step = jax.vmap(auto_reset(self.env.step, self.env.init))

        def ply(states: pgx.State, key: jax.Array) -> tuple[pgx.State, Window]:
            search_key, step_key = jax.random.split(key)
            policy = self.search(variables, search_key, states)
            after = step(states, policy.action, jax.random.split(step_key, num_games))
            record = Window(
                observation=states.observation,
                action_weights=jnp.asarray(policy.action_weights),
                reward=_of_player(after.rewards, states.current_player),
                discount=jnp.where(after.terminated, 0.0, -1.0),
                terminated=after.terminated,
            )
            # auto_reset leaves the finished game's flag set on the new one: a search would not leave its root.
            return dataclasses.replace(after, terminated=jnp.zeros_like(after.terminated)), record

        init_key, play_key = jax.random.split(key)
        states = jax.vmap(self.env.init)(jax.random.split(init_key, num_games))
        _, window = jax.lax.scan(ply, states, jax.random.split(play_key, self.config.window))
        return window

    def _split(self, window: Window, key: jax.Array) -> tuple[Batch, ...]:
        size, count = self.config.minibatch_size, self.updates_per_iteration
        order = jax.random.permutation(key, self.positions_per_iteration)[: size * count]

        def cut(x: jax.Array) -> list[jax.Array]:
            flat = x.reshape(-1, *x.shape[2:])
            return list(jnp.unstack(flat[order].reshape(count, size, *flat.shape[1:])))

        return tuple(map(Batch, *map(cut, value_targets(window))))

    def _learn(
        self, variables: Variables, opt_state: optax.OptState, batch: Batch
    ) -> tuple[Variables, optax.OptState, dict[str, jax.Array]]:
        def loss(params: Any) -> tuple[jax.Array, tuple[Variables, dict[str, jax.Array]]]:
            given = {**variables, "params": params}
            output, changed = cast(
                Any, self.network.apply(given, batch.observation, train=True, mutable=["batch_stats"])
            )
            logits, value = output
            policy_loss = optax.softmax_cross_entropy(logits, batch.policy).mean()
            value_loss = (optax.l2_loss(value, batch.value) * batch.has_value).mean()
            return policy_loss + value_loss, (changed, {"policy_loss": policy_loss, "value_loss": value_loss})

        gradients, (changed, losses) = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = self.optimizer.update(gradients, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return {**variables, **changed, "params": params}, opt_state, losses


def make_peer(config: PeerConfig | None = None, network: nn.Module | None = None) -> Peer:
    """The peer of `config`; `network` replaces the configured one.

    A network takes observations bool [B, 6, 7, 2] and `train: bool`, and returns logits [B, 7] and values [B] for
    the player to move.
    """
    return Peer(config or PeerConfig(), network)


def default_network(config: PeerConfig, num_actions: int) -> nn.Module:
    """The network that `config` names."""
    if config.network == "conv":
        return ConvNetwork(num_actions, config.num_blocks, config.width)
    return MlpNetwork(num_actions, config.num_blocks, config.width)


def value_targets(window: Window) -> Batch:
    """Each position's outcome for its mover, and whether its game ended inside the window; axes [T, B]."""

    def back(carry: tuple[jax.Array, jax.Array], ply: Window) -> tuple[tuple[jax.Array, jax.Array], tuple]:
        value, ended = carry
        value = ply.reward + ply.discount * value
        ended = ended | ply.terminated
        return (value, ended), (value, ended)

    start = (jnp.zeros_like(window.reward[0]), jnp.zeros_like(window.terminated[0]))
    _, (value, ended) = jax.lax.scan(back, start, window, reverse=True)
    return Batch(window.observation, window.action_weights, value, ended)


def _of_player(rewards: jax.Array, player: jax.Array) -> jax.Array:
    """Rewards [B, 2] and players [B] -> rewards [B]."""
    return jnp.take_along_axis(rewards, player[:, None], axis=1)[:, 0]


@dataclasses.dataclass(frozen=True)
class Measure(PeerConfig):
    """Measure the peer alone."""

    seconds: float = 20.0
    """Wall-clock time to measure, after compilation."""


def main(args: Measure) -> None:
    """Prints the peer's speed: self-play and updates alone, and both together."""
    peer = make_peer(args)
    state, _ = peer.iteration(peer.init(jax.random.key(0)), jax.random.key(1))
    variables, opt_state = jax.block_until_ready((state.variables, state.opt_state))
    played = learned = 0.0
    iterations = 0
    while played + learned < args.seconds:
        key = jax.random.key(2 + iterations)
        start = time.perf_counter()
        window = jax.block_until_ready(peer.self_play(variables, key))
        middle = time.perf_counter()
        for batch in peer.minibatches(window, key):
            variables, opt_state, _ = peer.update(variables, opt_state, batch)
        jax.block_until_ready(variables)
        played += middle - start
        learned += time.perf_counter() - middle
        iterations += 1
    positions = iterations * peer.positions_per_iteration
    evaluations = iterations * peer.evaluations_per_iteration
    learned_from = iterations * peer.updates_per_iteration * args.minibatch_size
    print(
        f"{args.network} {args.num_blocks} x {args.width}, B = {args.batch_size}, N = {args.num_simulations}"
    )
    print(f"self-play  {positions / played:9,.0f} positions/s  {evaluations / played:9,.0f} evaluations/s")
    print(f"updates    {learned_from / learned:9,.0f} positions/s")
    print(f"together   {positions / (played + learned):9,.0f} positions/s")


if __name__ == "__main__":
    main(tyro.cli(Measure))
