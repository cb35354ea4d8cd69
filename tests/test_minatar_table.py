"""The MinAtar table: one thing changes from each variant to the next, and its means are those of the paper."""

import importlib
import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest

from tests.helpers.tiny import REPOSITORY


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments"))
    return importlib.import_module("minatar_table")


def flat(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {key: value for name in tree for key, value in flat(tree[name], f"{prefix}.{name}").items()}


def test_each_variant_adds_one_part_to_the_one_before(table):
    runs = [
        flat(asdict(table.train_config("Breakout", name, 0)))
        for name in ("muzero", "gumbel", "consistency", "reanalyse")
    ]
    changed = [
        {key.split(".")[1] if ".search." in key else key for key in one if one[key] != other[key]}
        for one, other in itertools.pairwise(runs)
    ]
    assert changed == [
        {"search", ".algorithm", ".temperature_plies"},
        {".muzero.consistency_weight"},
        {".muzero.reanalyse"},
    ]


def test_the_table_shows_what_is_there_and_names_what_is_missing(table, tmp_path, capsys):
    config = table.Config(
        games=("Breakout", "Freeway"), variants=("muzero",), frames=(100,), results=tmp_path
    )
    scores = {"Breakout": (4.5, 9.0, 18.0), "Freeway": (24.0, 48.0, 72.0)}  # of DQN's 9 and 48
    for game, returns in scores.items():
        for seed, value in enumerate(returns):
            cell = {"strength": {"value": value}, "minutes": 2}
            table.cell_file(config, game, "muzero", seed, 100).write_text(json.dumps(cell))
    table.show(config)
    shown = capsys.readouterr().out
    # Of 0.5, 0.5, 1, 1, 1.5, 2 the quarters at both ends are left out: one score at each.
    assert "Breakout 4.5 (2), 9.0 (2), 18.0 (2)" in shown
    assert "1,000,000 frames: 1.00 [" in shown
    table.cell_file(config, "Freeway", "muzero", 1, 100).unlink()
    table.show(config)
    assert "Freeway-muzero-1-100" in capsys.readouterr().out


def test_the_interval_of_a_mean_holds_it_and_needs_differences(table):
    mean, low, high = table.interquartile_mean(
        [np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 2.0, 2.0, 2.0])]
    )
    assert low < mean < high
    assert mean == 2.0  # of 1, 2, 2, 2, 2, 2, 3, 6 the middle four
    assert table.interquartile_mean([np.array([3.0, 3.0])]) == (3.0, 3.0, 3.0)
