"""Runs compared on a page: their curves, final strengths and differing settings."""

import json
import re

import pytest

from jzero.run.report import main
from jzero.show.comparison import comparison_page
from jzero.show.run_files import read_run
from tests.show.test_report import Page, make_run, metrics_line


def a_run(folder, *, width=64, value=None, name="moves", measured=True, env="tiny", **files):
    """A run of 20 iterations with four measurements; finished where it has a `value`."""
    metrics = [
        metrics_line(
            i,
            positions=1000 * (i + 1),
            **({"strength": 0.1 * i, "strength_low": 0.1 * i - 0.05, "strength_high": 0.1 * i + 0.05})
            if measured and i % 5 == 0
            else {},
        )
        for i in range(20)
    ]
    config = {
        "run_dir": str(folder),
        "resume": width > 64,
        "train": {"env": env, "network": {"width": width, "blocks": 3}},
    }
    files = {"config": {"experiment": "tiny", "config": config, "versions": {"jax": "1.0"}}} | files
    if value is not None:
        strength = {"name": name, "value": value, "low": value - 0.05, "high": value + 0.05, "unit": "Elo"}
        files["result"] = {"strength": strength, "seconds": 120.0, "updates": 5000}
    return make_run(folder, metrics=metrics, **files)


def page_of(*runs):
    text = comparison_page([read_run(run) for run in runs])
    Page(text)
    return text


def rows(text, title):
    """The cells of a table."""
    section = re.search(rf"<h2>{title}</h2>(.*?)</section>", text, re.DOTALL)[1]
    found = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in found]


def curves(text, title):
    """The colours of the lines in a figure, and the entries of its caption."""
    (found,) = re.findall(rf"<b>{title}</b>(.*?)</figure>", text, re.DOTALL)
    keys = re.findall(r'<i style="border-top:3px solid var\((--s\d)\)"></i>(.*?)</span>', found)
    return re.findall(r"stroke: var\((--s\d)\); stroke-width: 1.7", found), keys


def test_curves_over_time_and_positions_have_the_same_colours(tmp_path):
    text = page_of(a_run(tmp_path / "<a>"), a_run(tmp_path / "b", measured=False), a_run(tmp_path / "c"))
    for title, label in (
        ("Strength over time", "minutes since the run began"),
        ("Strength over positions", "positions played"),
    ):
        drawn, keys = curves(text, title)
        assert drawn == ["--s1", "--s3"]  # b has no measurement yet
        assert keys == [("--s1", "&lt;a&gt;"), ("--s2", "b"), ("--s3", "c")]
        assert f"{label}</text>" in text


def test_runs_share_the_axes(tmp_path):
    short = a_run(tmp_path / "short")
    lines = [line | {"seconds": 2 * line["seconds"]} for line in read_run(short).metrics]
    text = page_of(short, make_run(tmp_path / "long", metrics=lines))
    (drawing,) = re.findall(r"<b>Strength over time</b>.*?</figure>", text, re.DOTALL)
    one, two = (
        [float(x) for x in re.findall(r"[ML] ([-\d.]+) ", path)]
        for path in re.findall(r'<path d="([^"]*)"[^>]*stroke-width: 1.7', drawing)
    )
    assert two[-1] - two[0] == pytest.approx(2 * (one[-1] - one[0]), rel=1e-3)
    ticks = [float(tick) for tick in re.findall(r">([\d.]+)</text>", drawing)]
    assert 3 <= max(ticks) <= 4  # minutes of the longer run


def test_final_strengths_have_intervals_and_what_goes_on_is_named(tmp_path):
    text = page_of(a_run(tmp_path / "a", value=0.75), a_run(tmp_path / "b"))
    assert rows(text, "Final strength") == [
        ["run", "strength", "95 % interval", "time", "positions", "updates", "measurement"],
        ["a", "0.75 Elo", "0.7 to 0.8", "2 min", "20k", "5k", "moves"],
        ["b", "1.5", "1.45 to 1.55", "2 min", "20k", "", "so far"],
    ]
    assert "Numbers of different measurements cannot be compared." in text


def test_one_measurement_is_named_once(tmp_path):
    text = page_of(a_run(tmp_path / "a", value=0.75), a_run(tmp_path / "b", value=0.5))
    assert [row[-1] for row in rows(text, "Final strength")] == ["updates", "5k", "5k"]
    assert '<p class="note">Moves</p>' in text
    assert "cannot be compared" not in text


def test_only_settings_that_differ_are_listed(tmp_path):
    other = json.loads((a_run(tmp_path / "c", width=128) / "config.json").read_text())
    other["versions"]["jax"] = "2.0"
    del other["config"]["train"]["network"]["blocks"]
    text = page_of(a_run(tmp_path / "a"), a_run(tmp_path / "b"), a_run(tmp_path / "c", config=other))
    assert rows(text, "Settings that differ") == [
        ["setting", "a", "b", "c"],
        ["train.network.width", "64", "64", "128"],
        ["train.network.blocks", "3", "3", "–"],
        ["versions.jax", "1.0", "1.0", "2.0"],
    ]
    assert '<p class="note">None.</p>' in page_of(tmp_path / "a", tmp_path / "b")


def test_runs_of_one_game_are_told_how_to_meet(tmp_path):
    one, two, other = a_run(tmp_path / "a"), a_run(tmp_path / "b c"), a_run(tmp_path / "d", env="other")
    assert f"<pre>python -m jzero match {one} &#x27;{two}&#x27;</pre>" in page_of(one, two)
    assert "jzero match" not in page_of(one, other)


def test_runs_without_anything_are_compared_too(tmp_path):
    assert "<figure" not in page_of(make_run(tmp_path / "a"), make_run(tmp_path / "b"))


def test_the_command_writes_it_beside_the_first_run_or_where_it_is_told(tmp_path, capsys):
    one, two = a_run(tmp_path / "a"), a_run(tmp_path / "b")
    assert main([str(one), str(two)]) == 0
    assert capsys.readouterr().out == f"{one / 'comparison.html'}\n"
    assert not (one / "report.html").exists()
    out = tmp_path / "new" / "folder"
    assert main([str(one), str(two), "--out", str(out)]) == 0
    assert (out / "comparison.html").read_bytes() == (one / "comparison.html").read_bytes()
    # The same run twice is one.
    main([str(one), f"{two}/../a", "--out", str(out)])
    assert capsys.readouterr().out.splitlines() == [str(out / "comparison.html"), str(out / "report.html")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no run is given"),
        (["a", "missing"], "missing holds no run"),
        (["a", "b", "--out", "a/config.json"], "config.json"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(tmp_path, monkeypatch, arguments, says):
    a_run(tmp_path / "a"), a_run(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=rf"^error: .*{says}"):
        main(arguments)
