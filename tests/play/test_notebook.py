"""A board and an analysis in the cells of a real JupyterLab, seen by a real Chromium.

    pip install jupyterlab && pytest -m slow tests/play/test_notebook.py

`JZERO_SCREENSHOTS=folder` keeps pictures of the pages. `JZERO_RUN=run` plays a trained run in place of a newcomer.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tiny import REPOSITORY

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")
pytest.importorskip("anywidget")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

FIRST = """import os
import jax, jzero
from tests.play.conftest import newcomer
run = os.environ.get("JZERO_RUN")
agent = jzero.load(run) if run else newcomer("connect_four")
agent.play()"""
SECOND = """states = jzero.init_batch(agent.env, jax.random.key(0), 2)
agent.analyse(states, jax.random.key(1), num_simulations=64).show()"""


def notebook(*cells):
    """A notebook of code cells that have not run."""
    code = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "cells": [code | {"id": f"cell{number}", "source": text} for number, text in enumerate(cells)],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab that shows the notebook."""
    (tmp_path / "play.ipynb").write_text(json.dumps(notebook(FIRST, SECOND)))
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "RUNTIME")}
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "envs")])
    environment = os.environ | own | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    options = [
        "--no-browser",
        "--allow-root",
        "--port=0",
        "--IdentityProvider.token=",
        f"--notebook-dir={tmp_path}",
    ]
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", *options]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            for line in server.stderr:
                if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab", line):
                    yield f"{found[1]}/lab/tree/play.ipynb"
                    break
            else:
                pytest.fail("JupyterLab does not start")
        finally:
            # Not SIGINT, which a command that a shell started in the background ignores.
            server.terminate()
            try:
                server.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                server.kill()
                raise


@pytest.fixture
def page(lab):
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(90_000)
        said = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(lab)
        yield page
        keep(page, "lab_last")
        chromium.close()
        assert said == []


def keep(page, name):
    folder = os.environ.get("JZERO_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_board_is_played_and_an_analysis_unfolds_in_cells(page):
    cell = page.locator(".jp-CodeCell .cm-content").first
    cell.click()
    page.keyboard.press("Shift+Enter")
    status = page.locator(".jz-status")
    status.filter(has_text="Your move").wait_for()
    keep(page, "lab_board")
    page.locator("[data-actions='3']").click()
    page.locator(".jz-moves li:nth-child(2)").wait_for()
    status.filter(has_text="Your move").wait_for()
    page.get_by_role("button", name="Hint").click()
    status.filter(has_text="would play").wait_for()
    assert page.locator(".jz-bars tbody tr").count() == 7
    page.locator(".jz-tree-panel .jz-node").first.click()
    page.locator(".jz-below img").first.wait_for()
    keep(page, "lab_hint")

    page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.keyboard.press("Shift+Enter")
    shown = page.locator(".jz-shown")
    shown.wait_for()
    shown.scroll_into_view_if_needed()
    assert shown.locator("section").count() == 2
    assert shown.locator(".jz-bars tbody tr").count() == 14
    node = shown.locator(".jz-node").first
    picture = shown.locator(".jz-below img").first
    assert not picture.is_visible()
    node.click()
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 0
    widths = shown.locator(".jz-visits i").evaluate_all(
        "bars => bars.map(bar => bar.getBoundingClientRect().width)"
    )
    assert max(widths) > 2 * min(widths)
    # JupyterLab's own style of lists, tables and headings does not show.
    read = "all => all.map(x => getComputedStyle(x)).map(s => [s.listStyleType, s.textAlign, s.display])"
    styles = {tag: shown.locator(tag).evaluate_all(read) for tag in ("ul", "ol", "td", "h2")}
    assert {marker for tag in ("ul", "ol") for marker, _, _ in styles[tag]} == {"none"}
    assert {side for _, side, _ in styles["td"]} == {"left"}
    assert {display for _, _, display in styles["h2"]} == {"block"}
    keep(page, "lab_analysis")
