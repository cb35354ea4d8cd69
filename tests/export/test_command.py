"""`python -m jzero export`: what it writes, and what it says where it cannot."""

import dataclasses
import json
import re
import zipfile

import pytest

import jzero
from jzero.export import html
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.export import main
from tests.helpers.exporting import random_network, run_on_disk
from tests.helpers.tiny import REPOSITORY, same_bits, tiny

MLP = NetworkSettings(width=16, blocks=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    _, _, params = random_network("tic_tac_toe", MLP)
    return run_on_disk(tmp_path_factory.mktemp("runs") / "run", tiny(network=MLP), params)


def said(capsys, *argv):
    assert main([str(one) for one in argv]) == 0
    return capsys.readouterr().out


def test_the_files_of_a_run(run, tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors")
    pytest.importorskip("flatbuffers")
    names = {"weights": "new/w.safetensors", "stablehlo": "n.stablehlo", "html": "p.html"}
    options = [part for name, file in names.items() for part in (f"--{name}", tmp_path / file)]
    text = said(capsys, run, "--out", tmp_path / "shared", *options)
    assert "weights of iteration 7" in text
    assert "policy and value for cpu, cuda, tpu, any number of rows" in text
    assert "weights of 32 bits; it searches with PUCT, not with gumbel" in text
    assert same_bits(jzero.load(tmp_path / "shared").params, jzero.load(run).params)
    with safetensors.safe_open(tmp_path / "new/w.safetensors", "np") as file:
        found = file.metadata()
    assert (found["environment"], found["network"], found["iteration"]) == ("tic_tac_toe", "mlp", "7")
    assert found["jzero"] == jzero.__version__
    assert NetworkSettings(**json.loads(found["network_settings"])) == MLP


def test_the_page_needs_nothing_else(run, tmp_path, capsys):
    said(capsys, run, "--html", tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=|https?://(?!www\.w3\.org)|\bimport\b|\bfetch\(""", text)
    assert "from iteration 7 of tic_tac_toe" in text
    assert len(re.findall("<script>", text)) == len(re.findall("</script>", text)) == 1


def test_a_network_that_does_not_fit_takes_16_bits_or_is_refused(tmp_path, monkeypatch):
    spec, _, params = random_network("tic_tac_toe", MLP)
    arguments = (tmp_path / "p.html", spec.env, MLP, params, SearchSettings())
    whole = html.write_html(*arguments)
    assert (whole.bits, whole.policy_difference) == (32, 0)
    monkeypatch.setattr(html, "MOST_BYTES", whole.bytes - 1)
    half = html.write_html(*arguments)
    assert half.bits == 16
    assert half.bytes < whole.bytes
    assert 0 < half.policy_difference < 1e-3
    monkeypatch.setattr(html, "BOUND", half.policy_difference / 2)
    with pytest.raises(ValueError, match="16-bit weights change probabilities by"):
        html.write_html(*arguments)
    monkeypatch.setattr(html, "MOST_BYTES", 1000)
    with pytest.raises(
        ValueError, match=r"would hold 0.\d MB, more than 0.001: train a network with a smaller width"
    ):
        html.write_html(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "tests.helpers.tiny:Race"}, "plays only Tic-tac-toe, Connect Four, Quoridor, not 'Race'"),
        ({"algorithm": "gumbel_muzero"}, "--html takes AlphaZero's networks only .* is of 'gumbel_muzero'"),
        (
            {"network": NetworkSettings(width=16, blocks=1, value_limit=2)},
            "with value_limit 2; expected mlp or",
        ),
        ({"network": NetworkSettings("a:b")}, "network.kind is 'a:b' .* expected mlp or resnet"),
    ],
)
def test_what_the_page_cannot_play(run, tmp_path, changes, message):
    params = jzero.load(run).params
    other = run_on_disk(tmp_path / "run", dataclasses.replace(tiny(network=MLP), **changes), params)
    with pytest.raises(SystemExit, match=message):
        main([str(other), "--html", str(tmp_path / "p.html")])
    assert not (tmp_path / "p.html").exists()


def test_mistakes_in_the_options(run, tmp_path):
    for options, message in (
        (
            [],
            "nothing to export; give --out FOLDER or --weights FILE, --stablehlo FILE, --onnx FILE, --html FILE",
        ),
        (["--out", tmp_path], "--out is .*, which already exists; expected a new folder"),
        (["--onnx", tmp_path], "--onnx is .*, which is a folder; expected a file"),
        (["--html", tmp_path / "p", "--checkpoint", 8], "no checkpoint of iteration 8; there are 7"),
    ):
        with pytest.raises(SystemExit, match=f"error: .*{message}"):
            main([str(one) for one in (run, *options)])
    with pytest.raises(SystemExit, match="holds no run"):
        main([str(tmp_path), "--html", str(tmp_path / "p.html")])


def test_a_network_that_was_handed_in_has_no_name(run, tmp_path):
    other = run_on_disk(tmp_path / "run", tiny(network=MLP), jzero.load(run).params, ("network",))
    with pytest.raises(
        SystemExit, match=r"objects that no file holds \(network\): .* jzero.export.root_network"
    ):
        main([str(other), "--stablehlo", str(tmp_path / "n")])


@pytest.mark.slow
def test_a_wheel_holds_the_scripts_of_the_page(tmp_path):
    hatchling = pytest.importorskip("hatchling.build")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        name = hatchling.build_wheel(str(tmp_path))
    names = zipfile.ZipFile(tmp_path / name).namelist()
    for file in (*html.SCRIPTS, "page.css"):
        assert f"jzero/export/offline/{file}" in names
