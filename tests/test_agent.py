"""The agent: the same moves after loading, only legal ones, what its arguments mean. Axes: B states, A actions."""

import dataclasses
import itertools
import json
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jzero
from jzero.analysis import principal_variation
from jzero.env import init_batch, step_batch
from jzero.env_spec import describe
from jzero.models.plan import SearchSettings, make_planner
from jzero.models.simulator import simulator_model
from jzero.networks import from_flax, make_network
from jzero.program import make_mesh
from jzero.registry import make
from jzero.run.build import build_agent, build_algorithm, build_program
from jzero.storage import checkpoint
from tests.helpers.tiny import TINY, child_environment, numbers, simulator, tiny, uniform_apply

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(directory of a run with a checkpoint, the agent that was saved): weights that have opinions."""
    directory = tmp_path_factory.mktemp("run")
    env = make(TINY.env)
    program = build_program(env, TINY, make_mesh(jax.devices()[:1]))
    state = program.init()
    rng = np.random.default_rng(0)
    averaged = jax.tree.map(
        lambda x: jnp.asarray(x + 0.3 * rng.normal(size=x.shape), jnp.float32), state.averaged
    )
    state = state._replace(averaged=averaged)
    checkpoint.save(directory / "checkpoints", 4, {"state": state, "seconds": np.float32(9)})
    record = {"experiment": "test", "config": {"train": dataclasses.asdict(TINY)}}
    (directory / "config.json").write_text(json.dumps(record))
    return directory, build_agent(env, TINY, averaged)


@pytest.fixture(scope="module")
def states():
    """64 unfinished positions after four random plies."""
    env, rng = make(TINY.env), np.random.default_rng(1)
    found = init_batch(env, KEY, 64)
    step = jax.jit(lambda states, actions: step_batch(env, states, actions, KEY))
    for _ in range(4):
        legal = np.asarray(found.legal_action_mask)
        found = step(found, (rng.random(legal.shape) + legal).argmax(axis=1).astype(np.int32))
    return found


def test_a_loaded_agent_is_the_one_that_was_saved(run, states):
    directory, saved = run
    loaded = jzero.load(str(directory))
    assert (loaded.name, loaded.search) == (TINY.env, TINY.search)
    for one, two in zip(numbers(loaded.params), numbers(saved.params), strict=True):
        np.testing.assert_array_equal(one, two)
    for simulations in (0, None, 32):
        moves = [agent.act(states, KEY, num_simulations=simulations).tolist() for agent in (saved, loaded)]
        assert moves[0] == moves[1]
    for one, two in zip(saved.evaluate(states), loaded.evaluate(states), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.filterwarnings("ignore:checkpoint .* cannot be read")
def test_a_directory_without_a_run_or_a_checkpoint_is_refused(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no run \(no config.json\)"):
        jzero.load(tmp_path)
    (tmp_path / "config.json").write_text((run[0] / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match="holds no checkpoint that can be read"):
        jzero.load(tmp_path)


@pytest.mark.parametrize("simulations", [0, 4])
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_actions_are_legal_integers_one_a_row(run, states, simulations, temperature):
    actions = run[1].act(states, KEY, num_simulations=simulations, temperature=temperature)
    assert (actions.shape, actions.dtype) == ((64,), jnp.int32)
    assert np.take_along_axis(np.asarray(states.legal_action_mask), np.asarray(actions)[:, None], 1).all()
    assert len(set(actions.tolist())) > 3


def test_without_temperature_the_key_does_not_matter(run, states):
    for simulations in (0, 4):
        moves = [
            run[1].act(states, jax.random.key(seed), num_simulations=simulations).tolist() for seed in (1, 2)
        ]
        assert moves[0] == moves[1]


def test_no_simulations_is_the_best_action_of_the_raw_policy(run, states):
    policy, value = run[1].evaluate(states)
    assert (policy.shape, value.shape) == ((64, 9), (64,))
    np.testing.assert_allclose(policy.sum(axis=1), 1, atol=1e-5)
    assert not np.asarray(policy)[~np.asarray(states.legal_action_mask)].any()
    assert run[1].act(states, KEY, num_simulations=0).tolist() == policy.argmax(axis=1).tolist()
    env = make(TINY.env)
    logits, expected = make_network(TINY.network, 9).apply(run[1].params, jax.vmap(env.observe)(states))
    np.testing.assert_allclose(value, expected, atol=1e-6)
    legal = states.legal_action_mask
    np.testing.assert_allclose(policy, jax.nn.softmax(jnp.where(legal, logits, -jnp.inf)), atol=1e-6)


def test_the_search_is_the_runs_own_without_noise(run, states):
    env = make(TINY.env)
    model = simulator_model(describe(env), from_flax(make_network(TINY.network, 9)))
    planner = make_planner(TINY.search, model)
    found = jax.jit(
        lambda params, states: planner.plan(
            params, KEY, model.root(params, states), ~states.legal_action_mask
        )
    )(run[1].params, states)
    assert run[1].act(states, KEY).tolist() == found.action.tolist()
    # Search changes some moves, and more of it changes others.
    raw, four, many = (run[1].act(states, KEY, num_simulations=n).tolist() for n in (0, 4, 32))
    assert raw != four != many


def test_enough_simulations_take_a_win_against_the_networks_opinion(run):
    env = make(TINY.env)
    state = env.init(KEY)
    for action in (0, 3, 1, 4):  # player 0 wins at 2
        state = env.step(state, jnp.int32(action), KEY)
    batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (64, *x.shape)), state)
    assert run[1].act(batch, KEY, num_simulations=32).tolist() == [2] * 64


def shares(agent, state, simulations, temperature):
    """How often each action is drawn from one position, of 2,000 draws."""
    batch = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], (2000, *x.shape[1:])), state)
    actions = agent.act(batch, jax.random.key(3), num_simulations=simulations, temperature=temperature)
    return np.bincount(actions, minlength=9)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_temperature_draws_in_proportion_to_powers_of_the_policy(run, states, temperature):
    policy = np.asarray(run[1].evaluate(states)[0][0], np.float64)
    expected = np.where(policy > 0, policy, 0) ** (1 / temperature)
    expected *= 2000 / expected.sum()
    counts = shares(run[1], states, 0, temperature)
    assert counts[expected == 0].sum() == 0
    likely = expected > 5
    assert likely.sum() > 1
    assert (
        stats.chisquare(
            np.append(counts[likely], counts[~likely].sum() + 1e-3),
            np.append(expected[likely], 2000 - expected[likely].sum() + 1e-3),
        ).pvalue
        > 1e-4
    )


def test_a_low_temperature_is_greedy_and_a_high_one_uniform(run, states):
    best = int(run[1].act(states, KEY, num_simulations=0)[0])
    assert shares(run[1], states, 0, 0.01)[best] == 2000
    legal = np.asarray(states.legal_action_mask)[0]
    flat = shares(run[1], states, 0, 1000.0)
    assert flat[~legal].sum() == 0
    assert flat[legal].min() > 300  # of 400


def test_visits_are_drawn_from_with_puct(run, states):
    config = tiny(search=SearchSettings(policy="puct", num_simulations=32))
    agent = build_agent(make(TINY.env), config, run[1].params)
    counts = shares(agent, states, 32, 1.0)
    assert np.count_nonzero(counts) > 1
    assert counts.argmax() == int(agent.act(states, KEY)[0])


def test_one_state_without_a_batch_axis_is_refused(run):
    with pytest.raises(ValueError, match=r"one batch axis \[B, ...\].*shape \(\).*x\[None\]"):
        run[1].act(make(TINY.env).init(KEY), KEY)


@pytest.mark.parametrize("bad", [{"num_simulations": -1}, {"temperature": -0.5}])
def test_negative_arguments_are_refused(run, states, bad):
    with pytest.raises(ValueError, match="may not be negative"):
        run[1].act(states, KEY, **bad)


def test_leaves_reach_the_search(run, states):
    """Rounds of Gumbel search hardly change what is played."""
    one, eight = (run[1].act(states, KEY, num_simulations=16, leaves=leaves).tolist() for leaves in (1, 8))
    assert np.mean(np.equal(one, eight)) > 0.9
    with pytest.raises(ValueError, match="leaves is 0; it must be at least 1"):
        run[1].act(states, KEY, num_simulations=16, leaves=0)


def test_finished_rows_do_not_disturb_the_others(run, states):
    env = make(TINY.env)
    over = init_batch(env, KEY, 64)
    for action in (0, 3, 1, 4, 2):
        over = step_batch(env, over, jnp.full(64, action), KEY)
    assert over.terminated.all()
    mixed = jax.tree.map(lambda a, b: jnp.concatenate([a[:32], b[32:]]), states, over)
    for simulations, temperature in ((0, 0.0), (4, 0.0), (4, 1.0)):
        one, two = (
            run[1].act(batch, KEY, num_simulations=simulations, temperature=temperature)
            for batch in (states, mixed)
        )
        assert one[:32].tolist() == two[:32].tolist()
        assert ((two >= 0) & (two < 9)).all()


def test_states_may_come_from_the_host(run, states):
    host = jax.tree.map(np.asarray, states)
    assert (
        run[1].act(host, KEY, num_simulations=4).tolist()
        == run[1].act(states, KEY, num_simulations=4).tolist()
    )


def test_the_plies_of_a_game_are_one_program(run, states):
    agent = jzero.load(run[0])
    weak = states._replace(rewards=jnp.where(states.rewards > 0, 1.0, 0.0))
    assert weak.rewards.weak_type
    committed = jax.device_put(states, jax.devices()[0])
    first, *others = (agent.act(kind, KEY, num_simulations=4) for kind in (states, weak, committed))
    for kind in (states, weak, committed):
        agent.evaluate(kind)
    assert all(np.array_equal(first, other) for other in others)
    assert (agent._plan._cache_size(), agent._root._cache_size()) == (1, 1)


def test_an_analysis_is_the_search_that_act_makes(run, states):
    agent = run[1]
    found = agent.analyse(states, KEY, num_simulations=24)
    np.testing.assert_array_equal(found.action, agent.act(states, KEY, num_simulations=24))
    np.testing.assert_array_equal(found.visits.sum(axis=1), np.full(64, 24))
    policy, _ = agent.evaluate(states)
    np.testing.assert_allclose(found.prior, policy, rtol=1e-5, atol=1e-6)
    assert not np.any(np.asarray(found.visits)[~np.asarray(states.legal_action_mask)])
    assert found.tree.node_visits.shape == (64, 25)


def test_an_analysis_with_room_compiles_once_for_all_numbers(run, states):
    agent = run[1]
    numbers, sizes, findings = (24, 7, 40), [], []
    for number in numbers:
        findings.append(agent.analyse(states, KEY, number, max_num_simulations=40))
        sizes.append(agent._analyse_up_to._cache_size())
    assert len(set(sizes)) == 1
    for number, found in zip(numbers, findings, strict=True):
        wanted = agent.analyse(states, KEY, number)
        np.testing.assert_array_equal(found.visits, wanted.visits)
        np.testing.assert_array_equal(found.action, wanted.action)
    with pytest.raises(
        ValueError, match="num_simulations is 41, above max_num_simulations 40; raise max_num_simulations"
    ):
        agent.analyse(states, KEY, 41, max_num_simulations=40)


def test_a_variation_can_begin_with_any_action(run, states):
    agent = run[1]
    found = agent.analyse(states, KEY, num_simulations=24)
    index, visits = np.asarray(found.tree.children_index), np.asarray(found.tree.children_visits)
    first = np.where(visits[:, 0] > 0, np.arange(visits.shape[2]), -1).max(axis=1)
    got = np.asarray(principal_variation(found.tree, jnp.asarray(first, jnp.int32)))
    assert (got[:, 0] == first).all()
    assert (first != np.asarray(found.principal_variation)[:, 0]).any()
    for row in range(64):
        node = index[row, 0, first[row]]
        wanted = int(visits[row, node].argmax()) if visits[row, node].max() > 0 else -1
        assert got[row, 1] == wanted
    nothing = principal_variation(found.tree, jnp.full(64, -5, jnp.int32))
    assert (np.asarray(nothing) == -1).all()


def test_a_principal_variation_is_the_agents_action_and_then_the_most_visited(run, states):
    agent = run[1]
    found = agent.analyse(states, KEY, num_simulations=24)
    index, visits = np.asarray(found.tree.children_index), np.asarray(found.tree.children_visits)
    lengths = []
    for row in range(64):
        node, wanted = 0, []
        while visits[row, node].max() > 0:
            action = int(visits[row, node].argmax()) if node else int(found.action[row])
            wanted.append(action)
            node = index[row, node, action]
        lengths.append(len(wanted))
        got = np.asarray(found.principal_variation[row])
        assert got[: len(wanted)].tolist() == wanted
        assert (got[len(wanted) :] == -1).all()
    assert max(lengths) > 2


def test_each_state_has_its_temperature(run, states):
    agent, heat = run[1], jnp.where(jnp.arange(64) % 2 == 0, 0.0, 1.0)
    mixed = agent.act(states, KEY, temperature=heat)
    cold, hot = (agent.act(states, KEY, temperature=each) for each in (0.0, 1.0))
    np.testing.assert_array_equal(mixed, np.where(np.arange(64) % 2 == 0, cold, hot))
    assert np.any(np.asarray(cold) != np.asarray(hot))


def test_an_agent_goes_to_another_process_and_folder(run, states, tmp_path, cache):
    (tmp_path / "agent.pickle").write_bytes(pickle.dumps(run[1]))
    code = (
        "import pickle, sys, jax, jzero; agent = pickle.load(open('agent.pickle', 'rb'));"
        "states = jzero.init_batch(agent.env, jax.random.key(5), 3);"
        "print(agent.act(states, jax.random.key(0)).tolist())"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=child_environment(cache),
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = run[1].act(init_batch(run[1].env, jax.random.key(5), 3), KEY).tolist()
    assert child.stdout.strip() == str(wanted)


def test_an_agent_of_functions_says_why_it_cannot_be_pickled(run):
    env = make(TINY.env)
    agent = jzero.Agent(env, simulator(env, uniform_apply), jnp.zeros(1), TINY.search)
    with pytest.raises(TypeError, match=r"jzero.load or jzero.train"):
        pickle.dumps(agent)


def play_against_the_first(agent, plies):
    """Actions and searches of an agent that moves in turn with a player of the first legal column."""
    env = agent.env
    states, found = init_batch(env, KEY, 4), []
    for ply in range(plies):
        action = agent.act(states, jax.random.key(ply))
        found.append((states, action, agent._last))
        for each in (action, None):
            each = jnp.argmax(states.legal_action_mask, axis=1).astype(jnp.int32) if each is None else each
            states = step_batch(env, states, each, KEY)
    return found


def opinionated(**search):
    """An agent for tic-tac-toe with weights that tell positions apart."""
    config = tiny(search=SearchSettings(num_simulations=16, **search))
    env = make(TINY.env)
    params = build_algorithm(env, config).init(KEY)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(x + 0.3 * rng.normal(size=x.shape), jnp.float32), params)
    return build_agent(env, config, params)


def test_a_cache_changes_no_action_and_answers_what_was_asked_before():
    plain, cached = (play_against_the_first(opinionated(cache=size), 4) for size in (0, 4096))
    for (_, one, _), (_, two, _) in zip(plain, cached, strict=True):
        np.testing.assert_array_equal(one, two)
    tables = [last[0].table for *_, last in cached]
    assert int(tables[-1].hits) > int(tables[0].hits)
    assert int(tables[-1].hits) + int(tables[-1].shared) > int(tables[-1].asked) // 10


def test_a_reused_tree_is_the_one_below_the_position_that_came():
    agent = opinionated(reuse=True)
    found = play_against_the_first(agent, 3)
    for (_, action, (plan, _)), (states, _, (later, _)) in itertools.pairwise(found):
        tree = plan.tree
        for row in range(4):
            own = np.asarray(tree.children_index)[row, 0, int(action[row])]
            replies = np.asarray(tree.children_index)[row, own]
            boards = [np.asarray(tree.embeddings.board)[row, at] if at >= 0 else None for at in replies]
            kept = [
                np.asarray(tree.node_visits)[row, at]
                for at, board in zip(replies, boards, strict=True)
                if board is not None and (board == np.asarray(states.board)[row]).all()
            ]
            # The root's visits are those of its edges and one; simulations come on top of those kept.
            assert float(later.visits[row].sum()) == 16 + (kept[0] - 1 if kept else 0)


def test_new_weights_and_other_batches_begin_anew():
    agent = opinionated(cache=256)
    states = init_batch(agent.env, KEY, 4)
    agent.act(states, KEY)
    assert agent.with_params(agent.params)._last is None
    fewer = jax.tree.map(lambda x: x[:2], states)
    agent.act(fewer, KEY)
    assert int(agent._last[0].table.asked) <= 2 * 16


def test_another_search_is_that_of_an_agent_made_with_it(states):
    one, two = opinionated(), opinionated(policy="puct")
    changed = one.with_search(two.search)
    np.testing.assert_array_equal(changed.act(states, KEY), two.act(states, KEY))
    assert pickle.loads(pickle.dumps(changed)).search == two.search


@pytest.mark.slow
def test_searches_that_keep_nothing_take_no_cache(states):
    plain, cached = opinionated(), opinionated(cache=256, reuse=True)
    for simulations in (16, 32):  # more than the settings' 16 keep nothing
        found = [agent.act(states, KEY, num_simulations=simulations) for agent in (plain, cached)]
        np.testing.assert_array_equal(*found)
    found = [agent.analyse(states, KEY) for agent in (plain, cached)]
    np.testing.assert_array_equal(found[0].visits, found[1].visits)
    np.testing.assert_array_equal(plain.act(states, KEY, leaves=2), cached.act(states, KEY, leaves=2))
