"""Setting JAX up keeps what the user has set, and needs neither a home nor a launcher."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jzero import devices
from jzero.compiler import unless_chosen
from tests.helpers.tiny import finish, start_python

SLURM_ALLOCATION = {"SLURM_JOB_ID": "5", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "node1"}
SLURM_STEP = {"SLURM_STEP_NODELIST": "node1", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}

COMPARE = """if True:
    import json, os
    import jax
    from jzero.devices import set_up

    def settings():
        return {name: str(value) for name, value in jax.config.values.items()} | dict(os.environ)

    before = settings()
    set_up()
    after = settings()
    print(json.dumps({name: (before.get(name), after[name]) for name in after if before.get(name) != after[name]}))
    print(jax.local_device_count())
"""

HOMELESS = """if True:
    import os, pwd
    import jax
    from jzero.devices import set_up
    os.environ.pop("HOME", None)
    pwd.getpwuid = lambda uid: {}[uid]  # as in a container with `--user 12345`: a uid without a passwd entry
    set_up(cpu_devices=1)
    print(jax.config.values["jax_compilation_cache_dir"] or None, int(jax.numpy.ones(3).sum()))
"""


def test_every_setting_of_jax_that_the_user_chose_stays(tmp_path):
    chosen = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "my cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "5",
        "JAX_NUM_CPU_DEVICES": "3",
        "JAX_ENABLE_X64": "1",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=false",
        **SLURM_ALLOCATION,
    }
    changed, count = finish(start_python("-c", COMPARE, cache=tmp_path, **chosen))[0].splitlines()
    assert json.loads(changed).keys() == {"NPROC"}
    assert count == "3"


def test_a_process_without_a_home_runs_without_a_cache(tmp_path):
    child = start_python("-c", HOMELESS, cache=tmp_path, JAX_COMPILATION_CACHE_DIR="")
    out, err = finish(child)
    assert out.strip() == "None 3", err


@pytest.fixture
def jax_settings(monkeypatch):
    """JAX's settings, as they are before a user changes them, and what changes them."""
    values = {"jax_compilation_cache_dir": None, "jax_persistent_cache_min_compile_time_secs": 1.0}
    values["jax_num_cpu_devices"] = -1
    config = SimpleNamespace(values=values, update=values.__setitem__)
    monkeypatch.setattr(devices, "jax", SimpleNamespace(config=config))
    return values


@pytest.mark.parametrize(("home", "kept"), [("", True), ("/proc/none", False)])
def test_programs_are_kept_where_the_home_can_be_written(tmp_path, monkeypatch, jax_settings, home, kept):
    monkeypatch.setenv("HOME", home or str(tmp_path))
    devices._keep_programs(devices.CACHE)
    assert jax_settings["jax_compilation_cache_dir"] == (str(tmp_path / ".cache/jzero/xla") if kept else None)
    assert jax_settings["jax_persistent_cache_min_compile_time_secs"] == (0.3 if kept else 1.0)


def test_a_folder_that_others_own_keeps_nothing(tmp_path, monkeypatch, jax_settings):
    monkeypatch.setattr(devices.os, "access", lambda path, mode: False)
    devices._keep_programs(tmp_path)
    assert jax_settings["jax_compilation_cache_dir"] is None


def test_the_users_threshold_stays_in_our_folder(tmp_path, jax_settings):
    jax_settings["jax_persistent_cache_min_compile_time_secs"] = 5.0
    devices._keep_programs(tmp_path)
    assert jax_settings["jax_persistent_cache_min_compile_time_secs"] == 5.0


def test_xla_flags_say_how_many_devices_a_cpu_is(monkeypatch, jax_settings):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_force_host_platform_device_count=6")
    assert devices._users_cpu_devices() == 6
    jax_settings["jax_num_cpu_devices"] = 2
    assert devices._users_cpu_devices() == 2


@pytest.mark.parametrize(
    ("variables", "many"),
    [
        ({}, False),
        (SLURM_ALLOCATION, False),
        (SLURM_ALLOCATION | SLURM_STEP, True),
        (SLURM_ALLOCATION | SLURM_STEP | {"SLURM_NTASKS": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"}, True),
    ],
)
def test_a_process_is_one_of_many_where_a_launcher_started_it(monkeypatch, variables, many):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert devices._launched_as_one_of_many() == many


def test_a_flag_of_the_user_wins_over_a_programs_option(monkeypatch):
    options = {"xla_one": "1", "xla_two": "2"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_one_more=3")
    assert unless_chosen(options) == options
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=7 --xla_three")
    assert unless_chosen(options) == {"xla_two": "2"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_two=7 --xla_one")
    assert unless_chosen(options) is None


def test_the_home_folder_is_meant_by_a_tilde_in_every_path(tmp_path, monkeypatch):
    from jzero import load
    from jzero.run import cli, export, report
    from jzero.run.config import RunConfig
    from jzero.run.entrants import named_runs
    from jzero.run.match import Config

    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "my run"
    path.mkdir()
    assert cli.parse("tiny", RunConfig(), ["--run-dir=~/my run"]).run_dir == path
    assert RunConfig(run_dir=Path("~/my run")).run_dir == path
    assert Config(("random",), out=Path("~/my run")).out == path
    for call in (
        lambda: load("~/my run"),
        lambda: report.main(["~/my run"]),
        lambda: export.main(["~/my run", "--out=~/my agent"]),
        lambda: named_runs("~/my run:4", None),
        lambda: cli.parse("tiny", RunConfig(), ["--run-dir=~/my run", "--resume"]),
    ):
        with pytest.raises((FileNotFoundError, SystemExit), match=f"{path} holds no run"):
            call()
    monkeypatch.delenv("HOME")
    monkeypatch.setitem(sys.modules, "pwd", None)
    with pytest.raises(ValueError, match=r"path '~/run': .* no home .* give the full path"):
        RunConfig(run_dir=Path("~/run"))
