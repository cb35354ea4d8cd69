"""The network and the search in the offline page's JavaScript next to JAX's."""

import functools

import jax
import numpy as np
import pytest

import jzero
from jzero.env import init_batch
from jzero.evaluate.arena import play_match
from jzero.evaluate.measures import Strength
from jzero.evaluate.players import agent_player, rollouts
from jzero.export.html import encoded, page_data
from jzero.export.node import PLAY, page_player, run_javascript
from jzero.models.plan import SearchSettings
from jzero.models.simulator import simulator_model
from jzero.networks.make import NetworkSettings, policy_value_network
from jzero.registry import make
from jzero.run.load import read_config
from tests.helpers.exporting import prepared, random_network
from tests.helpers.javascript import needs_node
from tests.helpers.playing import Batched
from tests.helpers.tiny import planned

pytestmark = needs_node
GAMES = 16
POSITIONS = 500
EVALUATE = """
  const network = makeNetwork(data.network);
  return data.seen.map((seen) => {
    const { logits, value } = network(Float32Array.from(seen));
    return [Array.from(logits), value];
  });
"""
SETTINGS = [
    ("tic_tac_toe", NetworkSettings(width=32, blocks=2)),
    ("quoridor?size=5&walls=3", NetworkSettings(width=32, blocks=2, norm="none")),
    ("connect_four", NetworkSettings("resnet", width=16, blocks=2, head_width=32)),
    ("tic_tac_toe", NetworkSettings("resnet", width=8, blocks=1, head_width=16, policy_head="cells")),
    ("quoridor?size=5&walls=3", NetworkSettings("resnet", width=16, blocks=1, head_width=32, norm="group")),
    pytest.param(
        "quoridor?size=5&walls=3",
        NetworkSettings("resnet", width=12, blocks=1, head_width=32, norm="none"),
        marks=pytest.mark.slow,
    ),
]


def data_of(name, settings, search=SearchSettings()):  # noqa: B008
    spec, network, params = random_network(name, settings)
    params = prepared(spec, network, params)
    return spec, network, params, page_data(spec.env, settings, params, search)


@functools.cache
def positions(name):
    """Unfinished positions of random games: the actions that led to each, the states and the observations."""
    batched, rng = Batched(make(name)), np.random.default_rng(1)
    states, histories = batched.init(GAMES), [[] for _ in range(GAMES)]
    found = []
    while len(found) < POSITIONS:
        mask, seen = states.legal_action_mask, batched.observe(states)
        for i in np.flatnonzero(mask.any(axis=1)):
            row = jax.tree.map(lambda leaf, i=i: leaf[i], states)
            found.append((list(histories[i]), row, seen[i]))
        actions = (rng.random(mask.shape) + mask).argmax(axis=1)
        for history, action in zip(histories, actions, strict=True):
            history.append(int(action))
        states = batched.step(states, actions)
        if not states.legal_action_mask.any():
            break
    chosen = [found[i] for i in rng.permutation(len(found))]
    histories, rows, seen = zip(*chosen, strict=True)
    return histories, jax.tree.map(lambda *leaves: np.stack(leaves), *rows), np.stack(seen)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_the_network_computes_what_jax_computes(name, settings):
    _, network, params, data = data_of(name, settings)
    seen = positions(name)[2][:300]
    logits, values = jax.device_get(jax.jit(network.apply)(params, seen))
    found = run_javascript(EVALUATE, data | {"seen": seen.reshape(len(seen), -1).tolist()})
    np.testing.assert_allclose([row for row, _ in found], logits, atol=1e-4, rtol=0)
    np.testing.assert_allclose([value for _, value in found], values, atol=1e-4, rtol=0)
    assert len(seen) >= 100
    assert np.std(logits) > 0.1
    assert np.std(values) > 0.01


def test_tensors_of_16_bits_are_near_those_of_32():
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=shape).astype(np.float32) for shape in ((40, 6), (3, 3, 5, 6), (6,))]
    code = "return readTensors(data).map(({ shape, values }) => [shape, Array.from(values)]);"
    for bits, bound in ((32, 0), (16, 1e-4)):
        found = run_javascript(code, encoded(tensors, bits))
        for (shape, values), tensor in zip(found, tensors, strict=True):
            assert tuple(shape) == tensor.shape
            np.testing.assert_allclose(np.reshape(values, shape), tensor, atol=bound, rtol=0)
    assert np.reshape(values, shape).tolist() == tensor.tolist()  # vectors keep their 32 bits


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tic_tac_toe", SETTINGS[0][1]),
        pytest.param("connect_four", SETTINGS[2][1], marks=pytest.mark.slow),
        pytest.param("quoridor?size=5&walls=3", SETTINGS[3][1], marks=pytest.mark.slow),
        ("quoridor?size=3&walls=1&max_plies=9", NetworkSettings(width=16, blocks=1)),
    ],
)
def test_the_search_visits_what_the_librarys_puct_visits(name, settings):
    search = SearchSettings(policy="puct", num_simulations=100, pb_c_init=1.5)
    spec, network, params, data = data_of(name, settings, search)
    histories, states, _ = positions(name)
    states = jax.tree.map(lambda leaf: leaf[:40], states)
    plan = jax.jit(
        lambda params, states: planned(
            search, simulator_model(spec, network), params, jax.random.key(0), states
        )
    )
    expected = jax.device_get(plan(params, states))
    found = run_javascript(PLAY, data | {"games": histories[:40], "simulations": 100})
    visits = np.array([one["visits"] for one in found])
    np.testing.assert_array_equal(visits, expected.visits)
    np.testing.assert_allclose([one["value"] for one in found], expected.value, atol=1e-4)
    assert [one["best"] for one in found] == expected.visits.argmax(axis=1).tolist()
    assert (np.sum(expected.visits > 0, axis=1) > 1).any()


def test_actions_that_are_as_good_are_tried_in_their_order():
    # A network that says nothing: every prior and value is equal.
    code = """
      const game = connectFour();
      const network = () => ({ logits: new Float32Array(7), value: 0 });
      const tree = newTree(game, network, game.init(), data);
      for (let i = 0; i < 50; i++) simulate(tree);
      return summary(tree).actions.map(({ visits }) => visits);
    """
    spec, network, params = random_network("connect_four", NetworkSettings(width=8, blocks=0))
    silent = network._replace(
        apply=lambda params, seen: (jax.numpy.zeros((len(seen), 7)), jax.numpy.zeros(len(seen)))
    )
    search = SearchSettings(policy="puct", num_simulations=50)
    states = init_batch(spec.env, jax.random.key(0), 1)
    expected = planned(search, simulator_model(spec, silent), params, jax.random.key(0), states)
    options = {"pbCInit": 1.25, "pbCBase": 19652, "epsilon": 0.01, "discount": 1}
    assert run_javascript(code, options) == expected.visits[0].tolist()


@pytest.mark.slow
def test_the_page_plays_as_well_as_the_agent(tmp_path, monkeypatch):
    monkeypatch.setattr("jzero.run.train.set_up", lambda **_: None)  # which changes settings of JAX
    search = SearchSettings(policy="puct", num_simulations=32)
    agent = jzero.train(
        "tic_tac_toe",
        minutes=0.25,
        run_dir=tmp_path / "run",
        measure=lambda agent: Strength("nothing", 0.5, 0.5, 0.5),
        search=search,
    )
    config, _ = read_config(tmp_path / "run")
    spec = jzero.describe(agent.env)
    network = policy_value_network(spec, config.network)
    data = page_data(agent.env, config.network, prepared(spec, network, agent.params), search)
    opponent = rollouts(agent.env, 100).player
    scores = [
        play_match(
            agent.env, player, opponent, num_games=20, key=jax.random.key(0), opening_plies=(0, 2)
        ).score
        for player in (agent_player(agent, 64), page_player(data, 64))
    ]
    assert min(scores) >= 0.5
    assert abs(scores[0] - scores[1]) <= 0.15
