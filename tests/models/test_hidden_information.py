"""Several players and hidden cards, from the search to the loss. Axes: B games, W worlds, P players, A actions."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob

from jzero.algorithms.alphazero import alphazero_loss, position_of
from jzero.algorithms.returns import LossSettings, value_targets
from jzero.env import init_batch, reveal_batch, step_batch
from jzero.env_spec import describe
from jzero.models.model import by_seat, from_mover, make_edge
from jzero.models.plan import SearchSettings, make_planner
from jzero.networks.make import NetworkSettings
from jzero.program import make_mesh
from jzero.registry import make
from jzero.replay import Sample
from jzero.run.build import build_algorithm, build_program
from jzero.search import RootFnOutput
from jzero.self_play import Transition, start_games
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import Race, network_of, planned, play_on, simulator, tiny

KEY = jax.random.key(0)
WORLDS = 3


def readable_network(seen: list | None = None):
    """A "network" for any game of P players, whose outputs depend on all of the observation by fixed weights.

    Its logits depend on all that the mover sees, its values on what is hidden as well. It adds the number of rows
    of each call to `seen`, when the call is traced.
    """

    def mixed(observation, outputs):
        leaves = jax.tree.leaves(observation)
        flat = jnp.concatenate([x.reshape(len(x), -1) for x in leaves], axis=-1)
        return flat @ jax.random.normal(jax.random.key(7), (flat.shape[-1], outputs)) / 4

    def apply(_, observation):
        if seen is not None:
            seen.append(len(observation.hidden))
        num_players = observation.hidden.shape[1]
        return mixed(observation.seen, 66), jnp.tanh(mixed(observation, num_players))

    return apply


@functools.cache
def player(env: Blob, batch_size: int):
    """Compiled: number of plies -> states [B] after so many random legal ones."""

    def one_ply(ply, states):
        ply_key = jax.random.fold_in(KEY, ply)
        logits = jnp.where(states.legal_action_mask, 0.0, -jnp.inf)
        return step_batch(env, states, jax.random.categorical(ply_key, logits), ply_key)

    return quick_jit(lambda plies: jax.lax.fori_loop(0, plies, one_ply, init_batch(env, KEY, batch_size)))


def mid_round(env: Blob, batch_size: int, plies: int):
    """States [B] after some random legal plies."""
    return player(env, batch_size)(plies)


def redrawn(env: Blob, states, key):
    """States [B] with hidden cards drawn anew."""
    return quick_jit(jax.vmap(env.resample))(states, jax.random.split(key, len(states.hands)))


def compiled_search(env: Blob, seen: list | None = None, **changes):
    """Compiled: states [B] -> what a search in worlds finds."""
    config = SearchSettings(num_simulations=8, worlds=WORLDS, **changes)
    planner = make_planner(config, simulator(env, readable_network(seen)))

    @quick_jit
    def run(states):
        root = RootFnOutput(prior_logits=None, value=None, embedding=states)  # the network's word is not read
        return planner.plan(None, KEY, root, ~states.legal_action_mask)

    return lambda states: jax.tree.map(np.asarray, run(states))


def test_every_batch_of_the_network_is_full():
    env, seen = Blob(players=3, cards=3), []
    found = compiled_search(env, seen)(mid_round(env, 5, 4))
    # One call for the roots, one in the loop over simulations: games x worlds.
    assert set(seen) == {5 * WORLDS}
    assert (found.evaluations == WORLDS * (1 + 8)).all()


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_a_search_does_not_see_hidden_cards(policy):
    env = Blob(players=4, cards=4)
    states = mid_round(env, 8, 7)
    other = redrawn(env, states, jax.random.key(5))
    assert (np.asarray(other.hands) != np.asarray(states.hands)).any(axis=(1, 2)).all()
    found_by = compiled_search(env, policy=policy)
    for one, two in zip(found_by(states), found_by(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_values_see_the_worlds_and_the_policy_does_not():
    env = Blob(players=4, cards=4)
    states = mid_round(env, 8, 7)
    other = redrawn(env, states, jax.random.key(5))
    algorithm = build_algorithm(env, tiny(env="blob?players=4&cards=4"))
    params = quick_jit(algorithm.init)(KEY)
    params = quick_jit(functools.partial(jax.tree.map, lambda x: x + 0.1 * jax.random.normal(KEY, x.shape)))(
        params
    )
    one, two = (quick_jit(algorithm.model.root)(params, x) for x in (states, other))
    np.testing.assert_array_equal(one.prior_logits, two.prior_logits)
    assert (np.abs(one.value - two.value).max(axis=1) > 1e-4).all()


def test_worlds_are_drawn_next_to_each_other_and_keep_what_the_mover_sees():
    env = Blob(players=4, cards=4)
    states = mid_round(env, 6, 5)
    resample = simulator(env, readable_network()).resample
    worlds = quick_jit(lambda states: resample(states, KEY, WORLDS))(states)
    hands = np.asarray(worlds.hands).reshape(6, WORLDS, 4, 2)
    mover = np.asarray(states.current_player)
    for game in range(6):
        own = np.asarray(states.hands)[game, mover[game]]
        assert (hands[game, :, mover[game]] == own).all()
    assert (hands[:, 0] != hands[:, 1]).any()


@pytest.mark.slow
def test_a_ply_that_leaves_no_choice_takes_no_search():
    env = Blob(players=3, cards=3)
    states = mid_round(env, 4, 9)  # three bids and two tricks: everyone holds one card
    found_by = compiled_search(env)
    found = found_by(states)
    legal = np.asarray(states.legal_action_mask)
    assert (legal.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(found.action, legal.argmax(axis=1))
    np.testing.assert_array_equal(found.policy, legal)
    assert (found.evaluations == WORLDS).all()
    other = redrawn(env, states, jax.random.key(5))
    np.testing.assert_allclose(found.value, found_by(other).value, atol=1e-6)
    assert found.value.std(axis=0).min() > 1e-3


def max_n(env: Blob, state) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """(values [P] of perfect play by max^n, values [P] of each action): exhaustive; ties to the lowest action."""
    options = {}
    for action in np.flatnonzero(np.asarray(state.legal_action_mask)).tolist():
        after = stepper(env)(state, action)
        later = np.zeros(env.num_players) if after.terminated else max_n(env, after)[0]
        options[action] = np.asarray(after.rewards, np.float64) + later
    mover = int(state.current_player)
    return options[max(options, key=lambda action: (options[action][mover], -action))], options


@functools.cache
def stepper(env: Blob):
    step = quick_jit(lambda state, action: env.step(state, action, KEY))
    return lambda state, action: jax.tree.map(np.asarray, step(state, jnp.int32(action)))


def test_vector_values_choose_what_exhaustive_max_n_chooses():
    """Open cards (no resampling), two cards each: the search must find the mover's best card, and never prefer one
    that is better for others only."""
    env = Blob(players=3, cards=2)
    games = 60
    states = mid_round(env, games, 4)  # bids are made, one card lies on the table
    model = simulator(
        env, lambda _, view: (jnp.zeros((len(view.hidden), 66)), jnp.zeros((len(view.hidden), 3)))
    )
    model = model._replace(resample=None)
    config = SearchSettings(policy="puct", dirichlet_fraction=0.0)

    @quick_jit
    def searched(states):
        found = planned(config, model, None, KEY, states, num_simulations=200, memory=None)
        return found.action, found.tree.root_player_qvalues()

    actions, qvalues = jax.tree.map(np.asarray, searched(states))
    compared = 0
    for game in range(games):
        state = jax.tree.map(lambda x, game=game: np.asarray(x)[game], states)
        value, options = max_n(env, state)
        mover = int(state.current_player)
        own = sorted((option[mover] for option in options.values()), reverse=True)
        if len(own) < 2 or own[0] - own[1] < 0.1:
            continue
        compared += 1
        assert options[int(actions[game])][mover] == own[0]
        np.testing.assert_allclose(qvalues[game, actions[game], mover], value[mover], atol=0.15)
    assert compared >= 4


def test_values_by_seat_and_from_the_mover_undo_each_other():
    values = np.arange(12.0).reshape(4, 3)
    mover = np.array([0, 1, 2, 1])
    seats = np.asarray(by_seat(values, mover))
    for row, player in itertools.product(range(4), range(3)):
        assert seats[row, (mover[row] + player) % 3] == values[row, player]
    np.testing.assert_array_equal(from_mover(jnp.asarray(seats), mover), values)


def test_a_simulators_values_are_by_seat():
    env = Blob(players=3, cards=1)
    states = mid_round(env, 8, 1)  # another player than the first is to move, a different one in each deal
    own = jnp.arange(3.0)  # the network's first value is the mover's

    def apply(_, observation):
        rows = observation.hidden.shape[0]
        return jnp.zeros((rows, env.num_actions)), jnp.broadcast_to(own, (rows, 3))

    value = np.asarray(simulator(env, apply).root(None, states).value)
    mover = np.asarray(states.current_player)
    assert len(set(mover)) > 1
    for row, seat in enumerate(mover):
        np.testing.assert_array_equal(value[row, (seat + np.arange(3)) % 3], own)


def test_targets_by_seat_are_each_players_discounted_return():
    rng = np.random.default_rng(0)
    plies, lanes, players = 12, 7, 3
    shape = (plies, lanes)
    ended, explored = rng.random(shape) < 0.2, rng.random(shape) < 0.1
    truncated = ended & (rng.random(shape) < 0.4)
    values, qvalues, rewards = rng.normal(size=(3, *shape, players)).astype(np.float32)
    discount = np.where(ended & ~truncated, 0, 0.9).astype(np.float32)
    nothing = np.zeros(shape)
    ring = Transition(
        nothing, nothing, nothing, nothing, values, qvalues, explored, rewards, discount, ended, truncated
    )
    targets, known = value_targets(jax.tree.map(jnp.asarray, ring), 0.7)
    for lane, player in itertools.product(range(lanes), range(players)):
        target, next_value = 0.0, 0.0
        for t in reversed(range(plies)):
            mixed = 0.3 * next_value + 0.7 * target
            target = rewards[t, lane, player] + (0 if ended[t, lane] else discount[t, lane] * mixed)
            in_progress = t == plies - 1 and not ended[t, lane]
            if truncated[t, lane] or in_progress:
                target = qvalues[t, lane, player]
            if explored[t, lane]:
                target = values[t, lane, player]
            next_value = values[t, lane, player]
            assert targets[t, lane, player] == pytest.approx(target, abs=1e-4)
    assert known.shape == shape


def test_an_edge_has_the_rewards_of_all_players_and_no_sign():
    env = Race(num_players=3)
    states = init_batch(env, KEY, 2)
    after = step_batch(env, states, jnp.array([0, 1]), KEY)
    edge = make_edge(describe(env), 0.9)
    reward, discount = edge(states, after)
    np.testing.assert_allclose(reward, [[0, 0, 0], [-0.25, 0.25, 0.25]])
    np.testing.assert_allclose(discount, [0.9, 0.9])
    last = after._replace(position=jnp.array([3, 2]))  # of the 4 steps to the goal
    reward, discount = edge(last, step_batch(env, last, jnp.array([0, 0]), KEY))
    np.testing.assert_allclose(reward, [[-1, 1, -1], [0, 0, 0]])
    np.testing.assert_allclose(discount, [0, 0.9])


@pytest.mark.slow
def test_the_loss_compares_the_movers_view_with_targets_by_seat():
    env = Blob(players=4, cards=3)
    states = mid_round(env, 16, 6)
    network = readable_network()
    logits, value = network(None, reveal_batch(env, states))
    sample = Sample(
        position=jax.vmap(functools.partial(position_of, describe(env)))(states),
        policy=jax.nn.softmax(jnp.where(states.legal_action_mask, logits, -jnp.inf)),
        policy_weight=jnp.ones(16),
        value=by_seat(value, states.current_player),
        weight=jnp.ones(16),
    )
    settings = LossSettings(augment=False)
    measure = functools.partial(alphazero_loss, describe(env), network_of(network), settings, None, key=KEY)
    np.testing.assert_allclose(measure(sample)[0], 0, atol=1e-5)
    off = sample._replace(value=sample.value.at[:, 2].add(0.5))
    np.testing.assert_allclose(measure(off)[1][0]["value_loss"].value, 0.5**2 / 4, atol=1e-5)


def test_self_play_records_values_and_rewards_by_seat():
    env = Blob(players=3, cards=2)
    config = tiny(
        env="blob?players=3&cards=2",
        games=4,
        plies=9,
        opening_plies=0,
        temperature_plies=9,
        search=SearchSettings(num_simulations=4, worlds=2),
    )
    model = simulator(env, readable_network())
    games = start_games(env, config, KEY, 4)
    run = quick_jit(lambda games: play_on(env, model, config, None, KEY, games))
    _, transitions, metrics = jax.tree.map(np.asarray, run(games))
    assert transitions.value.shape == transitions.reward.shape == (9, 4, 3)
    assert transitions.ended[-1].all()
    assert not transitions.ended[:-1].any()
    assert not transitions.reward[:-1].any()
    bids, state = transitions.position.bids[-1], transitions.position
    exact = transitions.reward[-1] > 0
    np.testing.assert_allclose(transitions.reward[-1][exact], ((10 + bids) / 12)[exact], atol=1e-6)
    assert metrics["first_player_return"].total == pytest.approx(transitions.reward[-1][:, 0].sum(), abs=1e-5)
    forced = state.legal_action_mask.sum(axis=-1).max(axis=-1) == 1
    assert metrics["evaluations_per_position"].total == np.where(forced, 2, 2 * (1 + 4)).sum() * 4
    targets, known = value_targets(jax.tree.map(jnp.asarray, transitions), 1.0)
    assert known.all()
    np.testing.assert_allclose(targets, np.broadcast_to(transitions.reward[-1], (9, 4, 3)))


def test_a_learned_model_refuses_two_players_whose_rewards_do_not_sum_to_zero():
    env = Race()
    build_algorithm(env, tiny(algorithm="muzero"))
    selfish = type("Selfish", (Race,), {"zero_sum": False})()
    with pytest.raises(ValueError, match=r"each of the 2 players .* needs its own"):
        build_algorithm(selfish, tiny(algorithm="muzero"))


@pytest.mark.slow
def test_a_row_without_a_choice_does_not_depend_on_its_batch_mates():
    env = Blob(players=3, cards=3)
    forced = jax.tree.map(lambda x: x[:2], mid_round(env, 4, 9))
    free = jax.tree.map(lambda x: x[:2], mid_round(env, 4, 4))
    found_by = compiled_search(env)
    alone = found_by(forced)
    mixed = found_by(jax.tree.map(lambda *x: jnp.concatenate(x), forced, free))
    for name in ("action", "policy", "value", "qvalue"):
        np.testing.assert_allclose(getattr(mixed, name)[:2], getattr(alone, name), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        (
            "tic_tac_toe",
            {"search": SearchSettings(worlds=2)},
            "search.worlds is 2; 'tic_tac_toe' has no hidden information",
        ),
        (
            "blob",
            {"search": SearchSettings(reuse=True)},
            "search.reuse is True; 'blob' has hidden information",
        ),
        (
            "blob",
            {"search": SearchSettings(policy="puct", forced_playouts=2.0)},
            "search.forced_playouts is 2; it needs visit counts",
        ),
        (
            "tic_tac_toe",
            {
                "algorithm": "muzero",
                "search": SearchSettings(policy="puct", forced_playouts=2.0),
                "network": NetworkSettings(kind="mlp", width=8, blocks=1, chance_codes=4),
            },
            "search.forced_playouts is 2; it needs visit counts",
        ),
        ("blob", {"resign_below": -0.9}, "resign_below is -0.9; resignation needs two players"),
        (
            "tic_tac_toe",
            {"algorithm": "muzero", "resign_below": -0.9},
            "resign_below is set, which needs the env",
        ),
        (
            "blob",
            {"algorithm": "muzero"},
            "a learned model has one value, for one player or for two whose rewards sum to 0",
        ),
        (
            "blob",
            {"network": NetworkSettings(kind="resnet")},
            "network.kind 'resnet' needs observations",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(name, changes, says):
    env = make(name)
    with pytest.raises(ValueError, match=says):
        build_program(env, tiny(env=name, **changes), make_mesh(jax.devices()[:1]))


def test_what_is_revealed_needs_worlds_and_has_no_images():
    def kind(**members):
        return type("Revealing", (Race,), {"reveal": lambda self, state: state.position, **members})()

    with pytest.raises(ValueError, match=r"has reveal but no resample\(state, key\): .* or remove reveal"):
        build_algorithm(kind(), tiny())
    redrawn = {"resample": lambda self, state, key: state, "symmetries": ("any",)}
    with pytest.raises(ValueError, match=r"augment is True; .* use --no-augment"):
        build_algorithm(kind(**redrawn), tiny())
    build_algorithm(kind(**redrawn), tiny(augment=False))


@pytest.mark.slow
def test_search_worlds_takes_a_temperature_for_each_game():
    env = Blob(players=3, cards=3)
    states = mid_round(env, 64, 3)
    model = simulator(env, readable_network())
    config = SearchSettings(num_simulations=4, worlds=2)
    temperature = jnp.where(jnp.arange(64) < 32, 0.0, 50.0)

    @quick_jit
    def run(key):
        return planned(config, model, None, key, states, temperature=temperature)

    found = jax.tree.map(np.asarray, run(KEY))
    best = found.policy.argmax(axis=1)
    assert (found.action[:32] == best[:32]).all()
    assert (found.action[32:] != best[32:]).sum() >= 8
