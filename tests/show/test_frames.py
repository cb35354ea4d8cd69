"""Observations to look at: the pixels and cells are those of the arrays."""

import base64
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

import jzero
from jzero.show.frames import LETTERS, frame, numbers, written
from jzero.show.rules import Rules


def pixels(svg):
    """u8[H, W, 3] of the picture in an SVG."""
    data = base64.b64decode(re.search(r"base64,([^\"]+)\"", svg)[1])
    return (255 * imread(io.BytesIO(data), format="png")[..., :3]).round().astype(np.uint8)


@pytest.mark.parametrize("channels", [3, 12])
def test_the_last_three_channels_are_the_colours(channels):
    seen = np.random.default_rng(0).integers(0, 256, (30, 40, channels), np.uint8)
    svg = frame(jnp.asarray(seen))
    np.testing.assert_array_equal(pixels(svg), seen[..., -3:])
    assert 'viewBox="0 0 40 30"' in svg


def test_the_last_of_other_numbers_of_channels_is_grey_and_shares_of_one_are_brightness():
    seen = np.random.default_rng(0).random((24, 24, 4), np.float32)
    np.testing.assert_array_equal(
        pixels(frame(seen)), np.repeat((255 * seen[..., 3:]).astype(np.uint8), 3, -1)
    )


def test_a_grids_cells_have_the_colour_of_their_last_channel():
    seen = np.zeros((3, 4, 2), np.uint8)
    seen[1, 2, 0] = seen[2, 3, 1] = 1
    seen[0, 1] = 1  # both
    cells = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width=".9".*?fill="(#\w+)"', frame(seen))
    places = {(int(float(y)), int(float(x))): colour for x, y, colour in cells}
    assert places.keys() == {(1, 2), (2, 3), (0, 1)}
    assert places[0, 1] == places[2, 3] != places[1, 2]
    assert frame(seen[..., 0]) == frame(seen[..., :1])


@pytest.mark.parametrize(
    "seen", [np.zeros(4), np.zeros((5, 5)), [np.zeros((30, 30, 3))] * 2, np.zeros((0, 3, 3))]
)
def test_other_observations_are_no_pictures(seen):
    assert frame(seen) == ""


def test_the_only_grid_of_several_arrays_is_drawn_by_its_channels_of_zeros_and_ones():
    seen = np.zeros((3, 4, 3), np.float32)
    seen[1, 2] = (1, 0, 0.5)
    seen[2, 3] = (0, 1, 0.25)
    flags = frame(seen[..., :2])
    assert flags.count("<rect") == 3
    assert frame({"grid": seen, "steps": np.int32(7)}) == flags == frame(seen)


def test_numbers_as_a_picture_are_lines_that_fit():
    svg = written({"<many>": np.arange(40.0), "grid": np.arange(4).reshape(2, 2)})
    lines = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    assert lines[0].startswith("&lt;many&gt;: 0.000 1.000 ")
    assert " ".join(lines).split()[1:41] == [f"{x:.3f}" for x in range(40)]
    assert lines[-2:] == ["0 1", "2 3"]
    assert max(map(len, lines[1:])) <= LETTERS
    assert f'viewBox="0 0 400 {20 * len(lines) + 20}"' in svg


def test_numbers_are_named_and_cut_short():
    seen = {"grid": np.arange(4).reshape(2, 2) + 9, "speed": np.float32(0.5), "many": np.zeros(100, np.int32)}
    assert numbers(seen).split("\n") == [
        "grid: ",
        " 9 10",
        "11 12",
        "many: " + "0 " * 47 + "0 ... 100 numbers",
        "speed: 0.500",
    ]


def test_one_players_environment_without_a_picture_shows_its_observation():
    pytest.importorskip("gymnax")
    for name, kind in (("gymnax:Breakout-MinAtar", "url"), ("gymnax:UmbrellaChain-bsuite", "text")):
        rules = Rules(jzero.make(name), name)
        state = rules.first(0)
        assert rules.board(state, 0)[kind]
        assert rules.text(state, 0) == numbers(rules.env.observe(state))
        assert rules.board(rules.after(state, 1, 0, 1), 0) != rules.board(state, 0)


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"])
def test_classic_control_is_drawn_as_it_goes(name):
    pytest.importorskip("gymnax")
    env = jzero.make(f"gymnax:{name}")
    rules = Rules(env, name)
    state, seen = rules.first(0), set()
    for ply in range(5):
        seen.add(env.svg(state))
        assert len({env.action_name(state, action) for action in rules.legal(state)}) == env.num_actions
        state = jax.device_get(rules.after(state, env.num_actions - 1, 0, ply + 1))
    assert len(seen) == 5
