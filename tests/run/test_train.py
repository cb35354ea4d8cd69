"""`jzero.train` with parts of one's own: in code, in a thread, from another folder, and what does not fit."""

import dataclasses
import pickle
import re
import subprocess
import sys
import threading
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jzero_envs.go import Go

import jzero
from jzero.evaluate import strength
from jzero.evaluate.measures import Strength
from jzero.models.plan import SearchSettings
from jzero.networks import from_flax
from jzero.run import cli, train_command
from jzero.run import train as train_lib
from jzero.run.build import Parts
from jzero.run.config import TrainConfig
from jzero.run.load import read_config, read_run_config
from jzero.run.presets import suited
from jzero.run.resume import handed_in
from jzero.storage.run_dir import read_metrics, resume_command
from tests.helpers.env_examples import TwoPiles
from tests.helpers.tiny import child_environment, same_bits

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = {
    "games": 8,
    "plies": 6,
    "replay_plies": 18,
    "batch_size": 16,
    "updates": 2,
    "warmup_iterations": 1,
    "iterations": 3,
    "search": SearchSettings(num_simulations=4),
}


@pytest.fixture(autouse=True)
def devices_of_this_process(monkeypatch):
    """Chosen already, for all tests."""
    monkeypatch.setattr(train_lib, "set_up", lambda **_: None)
    monkeypatch.setattr(cli, "set_up", lambda **_: None)


class Net(nn.Module):
    actions: int
    width: int = 16
    layers: int = 1

    @nn.compact
    def __call__(self, observation):
        x = observation.reshape(observation.shape[0], -1)
        for _ in range(self.layers):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(self.actions)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


def network(spec, **options):
    return from_flax(Net(spec.num_actions, **options))


def measure(agent):
    return Strength("nothing", 0.5, 0.5, 0.5)


def weighs_values_only(spec, network, settings):
    """AlphaZero whose policy learns nothing."""
    algorithm = jzero.alphazero(spec, network, settings)

    def loss(params, batch, key):
        _, (metrics, priorities) = algorithm.loss(params, batch, key)
        value = metrics["value_loss"].value
        return value, (metrics, priorities)

    return algorithm._replace(loss=loss)


def test_parts_of_ones_own_train_and_are_loaded_again(tmp_path):
    agent = jzero.train(
        "tic_tac_toe",
        network=network,
        optimizer=optax.sgd(optax.cosine_decay_schedule(0.1, 100)),
        algorithm=weighs_values_only,
        run_dir=tmp_path / "run",
        measure=measure,
        **SMALL,
    )
    assert {"Dense_0", "Dense_1", "Dense_2"} == set(agent.params["params"])
    assert read_config(tmp_path / "run")[1] == ["network", "algorithm", "optimizer"]
    assert [line["iteration"] for line in read_metrics(tmp_path / "run")] == [1, 2, 3]
    # Plain gradient descent on the value alone leaves the policy's last layer as it was made.
    first = network(jzero.describe(agent.env)).init(
        jax.random.fold_in(jax.random.key(0), 0), jzero.describe(agent.env).seen(jax.random.key(0))
    )
    np.testing.assert_array_equal(
        agent.params["params"]["Dense_1"]["kernel"], first["params"]["Dense_1"]["kernel"]
    )
    moved = np.abs(agent.params["params"]["Dense_2"]["kernel"] - first["params"]["Dense_2"]["kernel"])
    assert moved.max() > 0
    states = jzero.init_batch(agent.env, jax.random.key(1), 3)
    loaded = jzero.load(tmp_path / "run", network=network, algorithm=weighs_values_only)
    np.testing.assert_array_equal(loaded.act(states, jax.random.key(0)), agent.act(states, jax.random.key(0)))
    with pytest.raises(
        ValueError, match=r"objects that no file holds: pass network=, algorithm= to jzero.load"
    ):
        jzero.load(tmp_path / "run")
    assert pickle.loads(pickle.dumps(agent)).name == "tic_tac_toe"


def test_an_environment_object_without_a_name_trains_in_a_thread(tmp_path):
    class Local(TwoPiles):
        """A class that nothing can import."""

    env, found = Local(), []

    def work():
        short = SMALL | {"iterations": 1}
        found.append(jzero.train(env, run_dir=tmp_path / "run", measure=measure, **short))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(300)
    assert found[0].env is env
    assert read_config(tmp_path / "run")[1] == ["env"]
    with pytest.raises(ValueError, match=r"trained with objects that no file holds.*env= to jzero.load"):
        jzero.load(tmp_path / "run")
    assert jzero.load(tmp_path / "run", env=env).env is env


def test_the_default_measurements_are_taken(tmp_path, monkeypatch):
    asked = []

    def of(name):
        return lambda env: lambda agent: asked.append((name, env, agent.name)) or measure(agent)

    for name in ("measure", "final"):
        monkeypatch.setattr(strength, name, of(name))
    agent = jzero.train("tic_tac_toe", run_dir=tmp_path / "run", **SMALL)
    assert asked == [(name, agent.env, "tic_tac_toe") for name in ("measure", "final")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"algorithm": "alphago"}, "algorithm is 'alphago'; expected alphazero, muzero"),
        ({"num_games": 3}, "no setting num_games"),
        ({"games": 0}, "games is 0; it must be at least 1"),
        ({"network": 7}, "network is int; expected jzero.networks.Network"),
    ],
)
def test_what_does_not_fit_is_named(arguments, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        jzero.train("tic_tac_toe", run_dir=tmp_path / "run", measure=measure, **(SMALL | arguments))


class NoNumbers(TwoPiles):
    """Its rewards are none."""

    def take(self, state, action, key):
        return super().take(state, action, key)._replace(rewards=jnp.full(2, jnp.nan))


@pytest.mark.parametrize("algorithm", ["alphazero", "muzero"])
def test_rewards_that_are_not_finite_are_refused_with_the_environments_name(algorithm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"{__name__}:NoNumbers"
    said = f"a reward of '{name}' [(]nan[)] is not finite in random games, .* `python -m jzero check {name}`"
    with pytest.raises(ValueError, match=said):
        jzero.train(name, algorithm=algorithm, **SMALL)
    with pytest.raises(SystemExit, match=f"^error: {said}"):
        train_command.main(["--env", name, "--algorithm", algorithm])
    assert list(tmp_path.iterdir()) == []


def test_an_optimiser_or_a_network_that_does_not_fit_the_checkpoint_is_named(tmp_path):
    options = SMALL | {"run_dir": tmp_path / "run", "measure": measure, "network": network}
    jzero.train("tic_tac_toe", optimizer=optax.adam(1e-3), **options)
    options |= {"resume": True, "iterations": 5, "optimizer": optax.adam(1e-3)}
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))  # the same arrays, elsewhere
    for optimizer, said in (
        (optax.sgd(1e-3), r"0/count is int32\[\] in the checkpoint and missing here"),
        (clipped, r"1/0/count is missing in the checkpoint and int32\[\] here"),
    ):
        with pytest.raises(ValueError, match=rf"optimizer: it does not fit .*{said}.* started with"):
            jzero.train("tic_tac_toe", **(options | {"optimizer": optimizer}))
    wider, deeper = partial(network, width=24), partial(network, layers=2)
    for other, said in (
        (wider, r"Dense_0/bias is float32\[16\] in the checkpoint and float32\[24\] here"),
        (deeper, r"Dense_1/bias is float32\[9\] in the checkpoint and float32\[16\] here"),
    ):
        with pytest.raises(ValueError, match=rf"network: it does not fit .*{said}"):
            jzero.train("tic_tac_toe", **(options | {"network": other}))
        with pytest.raises(ValueError, match=rf"do not fit the network: .*{said}; give the network="):
            jzero.load(tmp_path / "run", network=other)


class Around:
    """A game around another one."""

    def __init__(self, env):
        self.env = env

    def __getattr__(self, name):
        return getattr(self.env, name)


class Shaded(TwoPiles):
    """A game whose option is neither in its name nor plain."""

    name = f"{__name__}:Shaded"

    def __init__(self, shade=None):
        self._shade = shade


class Wrapped(TwoPiles):
    """A game that holds another one deep inside, and itself."""

    name = f"{__name__}:Wrapped"

    def __init__(self, parts=None):
        self._parts = parts or {"inner": [Go(size=7)]}
        self._outer = self


class Turned(TwoPiles):
    """A game that holds a number in functions alone."""

    name = f"{__name__}:Turned"

    def __init__(self, number=3):
        def power(exponent):
            return number**exponent

        self._powers = [partial(power, exponent) for exponent in range(3)]


class Defaulted(TwoPiles):
    """A game that holds a number as a function's default alone."""

    name = f"{__name__}:Defaulted"

    def __init__(self, number=3):
        self._power = lambda exponent, number=number: number**exponent


@dataclasses.dataclass(slots=True, eq=False, weakref_slot=True)
class Options:
    """Options without a dict of attributes."""

    odds: float = 0.1
    kinds: set = dataclasses.field(default_factory=lambda: {"a", "b"})


class Slotted(TwoPiles):
    """A game whose options have slots."""

    name = f"{__name__}:Slotted"

    def __init__(self, odds=0.1, **options):
        self._options = Options(np.float32(odds), **options)


@pytest.mark.parametrize(
    ("env", "name", "handed"),
    [
        (jzero.make("go?size=5"), "go?size=5", []),
        (jzero.make("go", size=5), "go?size=5", []),
        (jzero.make("go?size=5", komi=0.5), "go?size=5&komi=0.5", []),
        (Go(), "go", []),
        (Go(size=5), "go", ["env"]),  # equal to another, which has a name
        (Go(komi=0.5), "go", ["env"]),  # the same shapes
        (Around(jzero.make("go?size=5")), "go", ["env"]),
        (jzero.make(Shaded.name), Shaded.name, []),
        (jzero.make(Shaded.name, shade=np.zeros(2)), Shaded.name, ["env"]),
        (Shaded(), Shaded.name, []),
        (Shaded(np.zeros(2)), Shaded.name, ["env"]),
        (Wrapped(), Wrapped.name, []),
        (Wrapped({"inner": [Go(size=7)]}), Wrapped.name, []),
        (Wrapped({"inner": [Go(size=5)]}), Wrapped.name, ["env"]),  # the same class around another game
        (Turned(), Turned.name, []),
        (Turned(5), Turned.name, ["env"]),  # held by a function
        (Defaulted(), Defaulted.name, []),
        (Defaulted(5), Defaulted.name, ["env"]),
        (Slotted(), Slotted.name, []),
        (Slotted(0.2), Slotted.name, ["env"]),
        (Slotted(kinds={"a"}), Slotted.name, ["env"]),
        (jzero.make("tests.helpers.env_examples:TwoPiles"), "tests.helpers.env_examples:TwoPiles", []),
    ],
)
def test_an_environments_options_are_recorded_or_asked_for_again(env, name, handed):
    others = [jzero.make("jzero_envs.go:Go"), jzero.make("jzero_envs.go:Go", size=5)]
    recorded = train_lib.name_of(env)
    assert recorded == name, others
    assert handed_in(env, TrainConfig(env=recorded), Parts()) == handed


MODULE = """
import jax.numpy as jnp
from jzero.networks import Network

def network(spec):
    def init(key, observation):
        size = observation[0].size
        return {"w": jnp.zeros((size, spec.num_actions)), "v": jnp.zeros(size)}

    def apply(params, observation):
        x = observation.reshape(observation.shape[0], -1)
        return x @ params["w"], jnp.tanh(x @ params["v"])

    return Network(init, apply)
"""
TEXT = (
    "--env tic_tac_toe --network.kind own_network_module:network --games 8 --plies 6 --replay-plies 18 "
    "--batch-size 16 --updates 2 --iterations 2 --warmup-iterations 1 --search.num-simulations 4 --run-dir run"
)
OPTIONS = TEXT.split()


def test_a_network_is_named_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "own_network_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    cli.main("train", suited("alphazero"), measure=lambda env: measure, argv=OPTIONS)
    assert jzero.load("run").params["w"].shape == (18, 9)
    changed = [*OPTIONS, "--network.kind", "own_network_module:other", "--run-dir", "other"]
    with pytest.raises(
        SystemExit, match=r"network.kind 'own_network_module:other': .* no function of EnvSpec 'other'"
    ):
        cli.main("train", suited("alphazero"), measure=lambda env: measure, argv=changed)


@pytest.mark.slow
def test_the_command_trains_from_any_folder(tmp_path, cache):
    (tmp_path / "own_network_module.py").write_text(MODULE)

    def run(*command):
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=child_environment(cache),
            capture_output=True,
            text=True,
        )

    child = run("-m", "jzero", "train", *OPTIONS, "--cpu-devices", "1", "--evaluate-every", "1000")
    assert child.returncode == 0, child.stderr
    assert "score in 100 games" in child.stdout
    child = run("-c", "import jzero; print(jzero.load('run').params['w'].shape)")
    assert child.stdout.strip() == "(18, 9)", child.stderr
    child = run("-m", "jzero", "export", "run", "--out", "shared")
    assert child.returncode == 0, child.stderr
    child = run("-c", "import jzero; print(jzero.load('shared').params['v'].shape)")
    assert child.stdout.strip() == "(18,)", child.stderr
    child = run("-m", "jzero", "report", "run")
    assert child.stdout.strip().endswith("report.html")


def keeps_the_model_alone(spec, network, settings):
    """MuZero whose loss is that of the reward."""
    algorithm = jzero.muzero(spec, network, settings)

    def loss(params, batch, key):
        _, (metrics, priorities) = algorithm.loss(params, batch, key)
        return metrics["reward_loss"].value, (metrics, priorities)

    return algorithm._replace(loss=loss)


def test_a_learned_models_loss_is_replaced(tmp_path):
    options = SMALL | {"run_dir": tmp_path / "run", "measure": measure, "replay_plies": 24}
    agent = jzero.train("tic_tac_toe", algorithm=keeps_the_model_alone, like="gumbel_muzero", **options)
    loaded = jzero.load(tmp_path / "run", algorithm=keeps_the_model_alone)
    assert same_bits(loaded.params, agent.params)
    with pytest.raises(ValueError, match="like is 'alphago'; expected alphazero, muzero"):
        jzero.train("tic_tac_toe", algorithm=keeps_the_model_alone, like="alphago", **options)


def test_a_command_line_cannot_resume_an_environment_without_a_name(tmp_path):
    class Local(TwoPiles):
        """A class that nothing can import."""

    run_dir = tmp_path / "run"
    jzero.train(Local(), run_dir=run_dir, measure=measure, **SMALL)
    resume = f"jzero.train(env, run_dir={str(run_dir)!r}, resume=True)"
    said = rf"error: the run in .* an env object, which no file holds; .* {re.escape(resume)}"
    with pytest.raises(SystemExit, match=said):
        cli.main(
            "train", suited("alphazero"), lambda env: measure, argv=["--resume", "--run-dir", str(run_dir)]
        )
    assert resume_command("train", run_dir) == resume


def test_a_resumed_run_takes_its_own_settings_and_what_is_given(tmp_path, monkeypatch):
    devices = []
    monkeypatch.setattr(train_lib, "set_up", lambda **options: devices.append(options["cpu_devices"]))
    own = {"run_dir": tmp_path / "run", "measure": measure}
    jzero.train("tic_tac_toe", minutes=30, cpu_devices=1, keep_newest=3, **own, **SMALL)
    monkeypatch.setattr(train_lib, "seen", lambda *named: pytest.fail("nothing is left to find out"))
    jzero.train("tic_tac_toe", resume=True, iterations=4, **own)
    config, _ = read_run_config(tmp_path / "run")
    assert (config.minutes, config.iterations, config.cpu_devices, config.keep_newest) == (30, 4, 1, 3)
    assert config.train.games == SMALL["games"]
    assert devices == [1, 1]
    assert len(read_metrics(tmp_path / "run")) == 4
    for other in ({"algorithm": "muzero"}, {"seed": 7}):
        with pytest.raises(ValueError, match=f"does not fit: {next(iter(other))} was"):
            jzero.train("tic_tac_toe", resume=True, **own, **other)


def test_the_number_of_cpu_devices_reaches_jax(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(train_lib, "set_up", lambda **options: asked.append(options))
    jzero.train("tic_tac_toe", run_dir=tmp_path / "run", measure=measure, **(SMALL | {"cpu_devices": 3}))
    assert [each["cpu_devices"] for each in asked] == [3]
