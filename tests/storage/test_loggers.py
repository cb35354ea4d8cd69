"""TensorBoard and W&B: what arrives there, and what is imported when."""

import math
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from jzero.storage.loggers import make_loggers


def read_events(folder):
    """The events in TensorBoard's files, whose records are length, checksum, event, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


class FakeWandb(types.ModuleType):
    """Keeps the calls made to it."""

    def __init__(self):
        super().__init__("wandb")
        self.inits, self.logs, self.finished = [], [], 0

    def init(self, **settings):
        self.inits.append(settings)
        return self

    def log(self, metrics, step):
        self.logs.append((step, metrics))

    def finish(self):
        self.finished += 1


def test_nothing_asked_for_is_nothing_imported(tmp_path):
    assert make_loggers(tmp_path, False, False, {}) == []
    code = "import sys, jzero.storage.loggers; print({'tensorboardX', 'wandb'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "set()\n"


@pytest.mark.parametrize(("module", "asked"), [("tensorboardX", (True, False)), ("wandb", (False, True))])
def test_a_missing_package_is_one_line_with_the_cure(tmp_path, monkeypatch, module, asked):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module}: pip install "jzero\[log\]"') as error:
        make_loggers(tmp_path, *asked, {})
    assert "\n" not in str(error.value)


def test_tensorboard_gets_the_finite_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    (logger,) = make_loggers(tmp_path, True, False, {})
    logger.log(3, {"loss": np.float32(0.5), "games": 7, "value_loss": math.nan, "name": "x", "none": None})
    logger.log(4, {"loss": 0.25})
    logger.close()
    scalars = [
        (event.step, value.tag, value.simple_value)
        for event in read_events(tmp_path / "tensorboard")
        for value in event.summary.value
    ]
    assert scalars == [(3, "loss", 0.5), (3, "games", 7.0), (4, "loss", 0.25)]


def test_tensorboard_forgets_what_a_resumed_run_repeats(tmp_path):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    (logger,) = make_loggers(tmp_path, True, False, {}, resumed_at=6)
    logger.log(7, {"loss": 0.5})
    logger.close()
    start = event_pb2.SessionLog.START
    events = read_events(tmp_path / "tensorboard")
    assert [event.step for event in events if event.session_log.status == start] == [7]


def test_wandb_gets_the_config_and_goes_on_under_the_same_name(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    run_dir = tmp_path / "connect_four" / "20260101-000000"
    run_dir.mkdir(parents=True)
    for step in range(2):
        (logger,) = make_loggers(run_dir, False, True, {"learning_rate": 1e-3, "limit": math.inf})
        logger.log(step, {"loss": 0.5, "value_loss": math.inf, "done": True})
        logger.close()
    first, second = wandb.inits
    assert first == second
    assert first["id"]
    assert first["resume"] == "allow"
    assert first["project"] == "jzero"
    assert first["name"] == "connect_four/20260101-000000"
    assert first["config"] == {"learning_rate": 1e-3, "limit": None}
    assert wandb.logs == [(0, {"loss": 0.5}), (1, {"loss": 0.5})]
    assert wandb.finished == 2


def test_wandbs_own_project_variable_counts(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_PROJECT", "chess")
    make_loggers(tmp_path, False, True, {})
    assert wandb.inits[0]["project"] == "chess"


@pytest.mark.slow
def test_wandb_itself_takes_the_calls(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (logger,) = make_loggers(tmp_path, False, True, {"seed": 0})
    logger.log(0, {"loss": 0.5})
    logger.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
