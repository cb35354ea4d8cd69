"""Configurations: ranges, and the way to JSON and back."""

import dataclasses
import json
import math
import typing

import pytest

from jzero.algorithms.auxiliary import AuxiliarySettings
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.build import build_algorithm
from jzero.run.config import RunConfig, TrainConfig
from jzero.settings import check, differences, from_dict

NESTED = TrainConfig(
    env="tic_tac_toe",
    search=SearchSettings(policy="puct", num_simulations=7),
    network=NetworkSettings(kind="resnet", bf16=True),
    learning_rate=3e-4,
)


def test_defaults_are_within_their_ranges():
    for cls in (SearchSettings, NetworkSettings, TrainConfig, RunConfig):
        cls()


def test_a_lookahead_is_for_alphazero():
    with pytest.raises(ValueError, match=r"td_lookahead is 3; .* with a learned model use --muzero.td-steps"):
        build_algorithm(make("tic_tac_toe"), TrainConfig(algorithm="muzero", td_lookahead=3))


@pytest.mark.parametrize(
    ("cls", "name", "bad", "message"),
    [
        (SearchSettings, "num_simulations", 0, "search.num_simulations is 0; it must be at least 1"),
        (SearchSettings, "max_considered", 0, "search.max_considered is 0"),
        (SearchSettings, "value_scale", -1.0, "at least 0"),
        (SearchSettings, "dirichlet_fraction", 1.5, "at least 0 and at most 1"),
        (SearchSettings, "dirichlet_alpha", 0.0, "greater than 0"),
        (SearchSettings, "pb_c_init", 0.0, "greater than 0"),
        (SearchSettings, "maxvisit_init", -1.0, "at least 0"),
        (NetworkSettings, "width", 0, "network.width is 0; it must be at least 1"),
        (NetworkSettings, "blocks", -1, "network.blocks is -1"),
        (NetworkSettings, "chance_codes", -1, "network.chance_codes is -1; it must be at least 0"),
        (NetworkSettings, "chance_codes", 1, "network.chance_codes is 1, which means no chance"),
        (
            MuZeroSettings,
            "commitment_weight",
            -0.1,
            "muzero.commitment_weight is -0.1; it must be at least 0",
        ),
        (
            TrainConfig,
            "network",
            NetworkSettings(chance_codes=32),
            "chance_codes is 32; AlphaZero reads .* muzero",
        ),
        (TrainConfig, "games", 0, "games is 0; it must be at least 1"),
        (TrainConfig, "plies", -3, "plies is -3"),
        (TrainConfig, "batch_size", 0, "batch_size is 0"),
        (TrainConfig, "updates", 0, "updates is 0"),
        (TrainConfig, "opening_plies", -1, "opening_plies is -1"),
        (TrainConfig, "temperature_plies", -1, "temperature_plies"),
        (TrainConfig, "warmup_iterations", -1, "warmup_iterations"),
        (TrainConfig, "random_move_fraction", 1.1, "at most 1"),
        (TrainConfig, "discount", 1.01, "discount is 1.01"),
        (TrainConfig, "td_lambda", -0.1, "td_lambda is -0.1"),
        (TrainConfig, "td_lookahead", -1, "td_lookahead is -1; it must be at least 0"),
        (TrainConfig, "replay_plies", 8, "replay_plies is 8; it must be at least 16"),
        (TrainConfig, "learning_rate", 0.0, "greater than 0"),
        (TrainConfig, "learning_rate", math.nan, "learning_rate is nan"),
        (TrainConfig, "weight_decay", -1e-4, "weight_decay"),
        (TrainConfig, "value_weight", -1.0, "value_weight"),
        (TrainConfig, "max_grad_norm", 0.0, "max_grad_norm"),
        (TrainConfig, "ema_decay", 1.0, "ema_decay is 1.0; it must be at least 0 and less than 1"),
        (TrainConfig, "full_search_fraction", 0.0, "full_search_fraction"),
        (TrainConfig, "resign_below", 0.0, "resign_below is 0.0; it must be at least -1 and less than 0"),
        (TrainConfig, "resign_holdout", 1.5, "resign_holdout"),
        (SearchSettings, "worlds", 0, "search.worlds is 0; it must be at least 1"),
        (TrainConfig, "full_search_fraction", 0.5, "fast_simulations .* is 0; it must be at least 1"),
        (RunConfig, "minutes", 0.0, "minutes is 0.0; it must be greater than 0"),
        (RunConfig, "iterations", 0, "iterations is 0"),
        (RunConfig, "evaluate_every", -1.0, "evaluate_every"),
        (RunConfig, "checkpoint_every", 0.0, "checkpoint_every"),
        (RunConfig, "cpu_devices", 0, "cpu_devices"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value_and_range(cls, name, bad, message):
    with pytest.raises(ValueError, match=message):
        cls(**{name: bad})
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(cls(), **{name: bad})


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"low": 1}, [1, 2, math.inf], [0.999, -math.inf, math.nan]),
        ({"above": 0}, [1e-9], [0, -1, math.nan]),
        ({"low": 0, "high": 1}, [0, 0.5, 1], [-1e-9, 1 + 1e-9, math.nan]),
        ({"low": 0, "below": 1}, [0, 0.999], [1, -1e-9, math.nan]),
    ],
)
def test_bounds(bounds, inside, outside):
    for value in inside:
        check("x", value, **bounds)
    for value in outside:
        with pytest.raises(ValueError, match=r"^x is "):
            check("x", value, **bounds)


def test_a_config_survives_json():
    text = json.dumps(dataclasses.asdict(NESTED))
    assert from_dict(TrainConfig, json.loads(text)) == NESTED
    assert from_dict(TrainConfig, {}) == TrainConfig()
    assert from_dict(TrainConfig, {"search": {"max_considered": 3}}).search == SearchSettings(
        max_considered=3
    )


def test_unknown_fields_and_bad_values_of_a_saved_config_are_refused():
    with pytest.raises(ValueError, match=r"TrainConfig has no field speed; was it saved by another version"):
        from_dict(TrainConfig, {"speed": 1})
    with pytest.raises(ValueError, match=r"SearchSettings has no field depth, sims"):
        from_dict(TrainConfig, {"search": {"sims": 1, "depth": 2}})
    with pytest.raises(ValueError, match="games is 0"):
        from_dict(TrainConfig, {"games": 0})


def test_differences_name_the_field_with_both_values():
    assert differences(NESTED, NESTED) == []
    search = dataclasses.replace(NESTED.search, num_simulations=8)
    assert differences(NESTED, dataclasses.replace(NESTED, env="go", search=search)) == [
        "search.num_simulations was 7 and is now 8",
        "env was 'tic_tac_toe' and is now 'go'",
    ]


@pytest.mark.parametrize("cls", [SearchSettings, NetworkSettings, TrainConfig, RunConfig])
def test_configs_are_frozen_hashable_and_typed(cls):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, 1)
    assert hash(cls()) == hash(cls())
    assert typing.get_type_hints(cls).keys() >= {field.name for field in dataclasses.fields(cls)}


def test_numbers_of_cells_need_an_mlp_or_a_tower_and_the_environments_model():
    with pytest.raises(
        ValueError, match=r"policy_head is 'cells', which 'transformer' cannot have: use dense"
    ):
        NetworkSettings(kind="transformer", width=64, policy_head="cells")
    with pytest.raises(ValueError, match=r"network\.policy_head is 'cells', which is for AlphaZero only"):
        TrainConfig(algorithm="muzero", network=NetworkSettings(kind="resnet", policy_head="cells"))


def test_a_transformer_has_whole_heads_and_no_learned_model():
    with pytest.raises(ValueError, match=r"network\.width is 100; a transformer's heads have 32 units"):
        NetworkSettings(kind="transformer", width=100)
    with pytest.raises(ValueError, match="'transformer', which is for AlphaZero only"):
        TrainConfig(algorithm="muzero", network=NetworkSettings(kind="transformer", width=64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reanalyse": 0.25}, "reanalyse is 0.25, .* use --muzero.reanalyse"),
        ({"auxiliary": AuxiliarySettings(outcome=0.5)}, "auxiliary.outcome is 0.5, .* use 0"),
        ({"auxiliary": AuxiliarySettings(reply=0.15)}, "auxiliary.reply is 0.15, .* use 0"),
    ],
)
def test_a_learned_model_refuses_what_only_alphazero_reads(options, words):
    TrainConfig(**options)
    with pytest.raises(ValueError, match=words):
        TrainConfig(algorithm="gumbel_muzero", **options)
