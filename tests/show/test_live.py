"""The report in a browser: it follows its run, stays where its reader is, and needs no mouse."""

import json
import re
import shutil
from urllib.parse import unquote

import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.show import report, write_report
from tests.show.test_report import GAME, WALK, Walk, make_run, metrics_line

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture
def page():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1000, "height": 700})
        page.set_default_timeout(20_000)
        sync_api.expect.set_options(timeout=20_000)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert errors == []
        chromium.close()


def test_it_follows_its_run_until_the_end_and_the_reader_stays_in_place(tmp_path, page, monkeypatch):
    monkeypatch.setattr(report, "RELOAD", 1)
    config = {"experiment": "tiny", "config": {f"option_{i}": i for i in range(30)}}
    games = {"env": "tic_tac_toe", "games": [GAME, GAME]}
    run = make_run(tmp_path, metrics=[metrics_line(0)], config=config, games=games)
    page.goto(write_report(run, TicTacToe()).as_uri())
    folded, state = page.locator("details:not([open]):has-text('Configuration')"), page.locator("header")
    folded.locator("summary").click()
    page.locator(".tabs button").nth(1).click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.mouse.wheel(0, 500 - page.evaluate("scrollY"))
    page.wait_for_function("scrollY === 500")

    def stays():
        page.wait_for_function("scrollY === 500")
        sync_api.expect(folded).to_have_count(0)
        sync_api.expect(page.locator(".tabs button").nth(1)).to_have_attribute("aria-pressed", "true")
        sync_api.expect(page.locator(".ply:visible")).to_have_text("Ply 2 of 5")

    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps(metrics_line(19)) + "\n")
    write_report(run, TicTacToe())
    sync_api.expect(state).to_contain_text("the state after 2 min")
    stays()
    (run / "result.json").write_text(json.dumps({"seconds": 120.0}))
    write_report(run, TicTacToe())
    sync_api.expect(state).to_contain_text("Finished after 2 min")
    stays()
    page.evaluate("window.mark = 1")
    page.wait_for_timeout(1500)
    assert page.evaluate("window.mark") == 1


def test_it_does_not_load_anew_under_the_readers_hands(tmp_path, page, monkeypatch):
    monkeypatch.setattr(report, "RELOAD", 1)
    page.goto(write_report(make_run(tmp_path, metrics=[metrics_line(0)])).as_uri())
    page.keyboard.press("Shift")
    page.evaluate("window.mark = 1")
    for _ in range(10):
        page.keyboard.press("Shift")
        page.wait_for_timeout(150)
    assert page.evaluate("window.mark") == 1
    page.wait_for_function("window.mark === undefined")


def test_the_keyboard_steps_through_an_episode(tmp_path, page):
    run = make_run(tmp_path, games={"env": "walk", "games": [WALK]}, result={"seconds": 1.0})
    page.goto(write_report(run, Walk()).as_uri())
    seen = []
    for key in ("Shift", *["ArrowRight"] * 5, "ArrowLeft"):
        page.keyboard.press(key)
        board = page.locator(".player .board").evaluate("each => getComputedStyle(each).backgroundImage")
        seen.append((page.locator(".ply").inner_text(), re.search(r"x='([\d.]+)'", unquote(board))[1]))
    assert seen == [
        ("Step 0 of 4", "0.05"),
        ("Step 1 of 4", "1.05"),
        ("Step 2 of 4", "1.05"),
        ("Step 3 of 4", "2.05"),
        ("The end", "3.05"),
        ("The end", "3.05"),
        ("Step 3 of 4", "2.05"),
    ]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # on the second button
    assert page.locator(".ply").inner_text() == "Step 2 of 4"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Home")  # on the slider
    assert page.locator(".ply").inner_text() == "Step 0 of 4"
