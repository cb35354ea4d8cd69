"""Whole games by clicks in a real Chromium, against a real server in a process of its own.

    pytest -m slow tests/play/test_browser.py

`JZERO_SCREENSHOTS=folder` keeps pictures of the pages.
"""

import os
import re
import shutil
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.tiny import start_python

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

SERVER = """if True:
    import asyncio, sys, uvicorn
    from pathlib import Path
    from jzero.play.desk import Desk
    from jzero.play.server import application, listen
    from tests.play.conftest import newcomer
    name, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    listener = listen(port)
    desk = Desk([newcomer(name)], ["newcomer"], folder)
    app = application(desk, listener.getsockname()[1])
    print(listener.getsockname()[1], flush=True)
    asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level=30)).serve(sockets=[listener]))
"""


@pytest.fixture
def serve(tmp_path, cache):
    children = []

    def start(name, port=0):
        child = start_python("-c", SERVER, name, tmp_path / "play", port, cache=cache)
        children.append(child)
        line = child.stdout.readline()
        assert line.strip().isdecimal(), child.communicate()[1][-2000:]
        return child, int(line)

    yield start
    for child in children:
        child.send_signal(signal.SIGINT)
        try:
            _, err = child.communicate(timeout=30)
        except Exception:
            child.kill()
            raise
        assert "/jzero/play/" not in err, err[-3000:]  # in a traceback


@pytest.fixture
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(60_000)
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    expected = (
        "the server responded with a status of 4",
        "ERR_CONNECTION_REFUSED",
    )  # while it is started anew
    assert [text for text in said if not any(words in text for words in expected)] == []


def keep(page, name):
    folder = os.environ.get("JZERO_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def turn(page):
    """Waits until the human is to move; whether the game is over."""
    page.locator(".jz-status", has_text=re.compile("Your move|is over|would play")).wait_for()
    return "is over" in page.locator(".jz-status").inner_text()


def moves(page):
    return page.locator(".jz-moves li").all_inner_texts()


def play_to_the_end(page, most=200):
    """Clicks legal places, or names of moves where the picture has no place for them."""
    for number in range(most):
        if turn(page):
            return
        before, legal = len(moves(page)), page.locator(".jz-legal")
        if legal.count():
            legal.nth(number % legal.count()).click(force=True)
        else:
            page.locator(".jz-named button").first.click()
        page.locator(f".jz-moves li:nth-child({before + 1})").wait_for()
    pytest.fail("the game does not end")


@pytest.mark.parametrize(
    "name",
    [
        "tic_tac_toe",
        "connect_four",
        "quoridor?size=5",
        "hex?size=4&swap=True",
        "gomoku?size=5",
        "blob?players=3&cards=3",
        "pgx:othello",
    ],
)
def test_a_whole_game_is_played_by_clicks(serve, page, name):
    if name.startswith("pgx"):
        pytest.importorskip("pgx")
    _, port = serve(name)
    page.goto(f"http://127.0.0.1:{port}/")
    turn(page)
    keep(page, re.sub(r"\W+", "_", name) + "_begins")
    page.keyboard.press("h")
    page.locator(".jz-status", has_text="would play").wait_for()
    assert page.locator(".jz-bars tbody tr").count() > 1
    page.locator(".jz-tree-panel .jz-node").first.click()
    page.locator(".jz-below img").first.wait_for()
    keep(page, re.sub(r"\W+", "_", name) + "_hint")
    play_to_the_end(page, 80)
    keep(page, re.sub(r"\W+", "_", name) + "_end")


@pytest.mark.parametrize(
    "name", ["2048?size=2", "gymnax:CartPole-v1", "gymnax:Breakout-MinAtar", "gymnax:UmbrellaChain-bsuite"]
)
def test_an_episode_of_one_player_is_shown_as_it_goes(serve, page, name):
    if name.startswith("gymnax"):
        pytest.importorskip("gymnax")
    _, port = serve(name)
    page.goto(f"http://127.0.0.1:{port}/#seed=1&moves=")  # some games of 2048 end after three moves
    turn(page)

    def seen():
        words, image = page.locator(".jz-left > .jz-words"), page.locator(".jz-board .jz-picture")
        return words.inner_text() if words.is_visible() else image.get_attribute("src")

    frames, note = [seen()], page.locator(".jz-left > .jz-note")
    assert note.inner_text() == "step 0, return 0"
    for number in range(3):
        if page.locator(".jz-status", has_text="is over").count():
            break
        page.locator(".jz-named").evaluate("list => { list.parentElement.open = true; }")
        page.locator(".jz-named button").last.click()
        page.locator(f".jz-moves li:nth-child({number + 1})").wait_for()
        turn(page)
        assert note.inner_text().startswith(f"step {number + 1}, return ")
        frames.append(seen())
    assert len(set(frames)) == len(frames) > 2

    page.keyboard.press("h")
    page.locator(".jz-status", has_text="would play").wait_for()
    assert page.locator(".jz-bars tbody tr").count() > 1
    page.locator(".jz-curve .jz-dot").wait_for(state="attached")
    nodes = page.locator(".jz-tree-panel .jz-node")
    nodes.first.click()
    below = page.locator(".jz-below").first.locator("> .jz-picture, > .jz-words")
    below.wait_for()
    if "2048" in name:
        chance = page.locator(".jz-tree-panel .jz-chance")
        assert re.match(r"[24] on [ab][12]\d+(\.\d)? %$", chance.first.locator("b").inner_text())
        chance.first.click()
        page.locator(".jz-below .jz-below").first.locator("> .jz-picture").wait_for()
        boards = page.locator(".jz-below .jz-picture").evaluate_all("all => all.map(image => image.src)")
        assert len({seen(), *boards}) == 3
    keep(page, re.sub(r"\W+", "_", name) + "_one_player")

    # The agent goes on alone, and the page shows each of its steps.
    before = len(moves(page))
    page.get_by_label("strength").select_option("0")
    page.get_by_label("player 1").select_option("0")
    page.locator(f".jz-moves li:nth-child({before + 1})").wait_for()
    page.locator(".jz-status", has_text=re.compile("is over|thinks")).wait_for()
    if name in ("2048?size=2", "gymnax:CartPole-v1", "gymnax:UmbrellaChain-bsuite"):
        page.locator(".jz-status", has_text="The game is over: return ").wait_for()
        assert len(moves(page)) > before
    keep(page, re.sub(r"\W+", "_", name) + "_one_player_end")


def test_an_illegal_click_does_nothing_and_says_why_and_undo_takes_back(serve, page):
    _, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/")
    turn(page)
    page.locator("[data-actions='4']").click()
    page.locator(".jz-moves li:nth-child(2)").wait_for()
    turn(page)
    played = moves(page)
    page.locator("[data-actions='4']").click(force=True)
    page.locator(".jz-alarm", has_text="b2 is not legal").wait_for()
    assert moves(page) == played
    page.keyboard.press("u")
    page.locator(".jz-moves li").first.wait_for(state="detached")
    assert moves(page) == []


def test_a_game_that_is_over_can_be_looked_through_and_analysed(serve, page):
    _, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/#seed=0&moves=0.3.1.4.2")
    status = page.locator(".jz-status")
    status.filter(has_text="player 1 wins").wait_for()
    page.keyboard.press("h")
    page.locator(".jz-alarm", has_text="The game is over").wait_for()
    page.locator(".jz-moves button").nth(3).click()
    status.filter(has_text="The position after 4 of 5 moves").wait_for()
    page.keyboard.press("h")
    status.filter(has_text="would play c3").wait_for()
    assert page.locator(".jz-mark").count() > 1
    assert page.locator(".jz-played th").inner_text() == "c3"
    page.locator(".jz-curve .jz-dot").wait_for(state="attached")
    box, dot = (page.locator(f".jz-curve{part}").bounding_box() for part in ("", " .jz-dot"))
    assert dot["x"] - box["x"] == pytest.approx(0.8 * box["width"], abs=4)  # ply 4 of 5
    page.locator("[data-actions='8']").click()
    status.filter(has_text="player 1 wins").wait_for()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 40)
    status.filter(has_text="The position after 2 of 5 moves").wait_for()
    assert moves(page) == ["a3", "a2", "b3", "b2", "c3"]


def test_the_keyboard_alone_plays(serve, page):
    _, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/")
    turn(page)
    page.locator(".jz-place[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.locator(".jz-moves li:nth-child(2)").wait_for()


def test_nothing_is_lost_when_the_page_or_the_server_begins_anew(serve, browser, page):
    child, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/")
    turn(page)
    page.locator("[data-actions='0']").click()
    page.locator(".jz-moves li:nth-child(2)").wait_for()
    played = moves(page)
    page.reload()
    turn(page)
    assert moves(page) == played
    other = browser.new_page()
    other.goto(page.url)
    turn(other)
    other.locator(".jz-legal").first.click()
    other.locator(".jz-moves li:nth-child(4)").wait_for()
    page.locator(".jz-moves li:nth-child(4)").wait_for()  # the first window follows
    child.send_signal(signal.SIGINT)
    child.wait(30)
    serve("tic_tac_toe", port)
    page.reload()
    turn(page)
    assert moves(page) == moves(other)
    tabs = [browser.new_page() for _ in range(10)]
    for tab in tabs:
        tab.goto(page.url)
    assert all(not turn(tab) and moves(tab) == moves(page) for tab in tabs)
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").status == 200


def test_the_page_goes_on_by_itself_when_the_server_is_there_again(serve, page):
    child, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/")
    turn(page)
    page.locator("[data-actions='0']").click()
    page.locator(".jz-moves li:nth-child(2)").wait_for()
    turn(page)
    child.send_signal(signal.SIGINT)
    child.wait(30)
    page.locator(".jz-alarm", has_text="the server does not answer").wait_for()
    page.locator(".jz-moves button").first.click()
    page.get_by_role("button", name="Save").click()
    serve("tic_tac_toe", port)
    page.locator(".jz-status", has_text="Your move").wait_for()
    assert len(moves(page)) == 2


def test_an_answer_about_the_game_before_is_dropped(serve, page):
    _, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/")
    turn(page)
    page.locator("[data-actions='4']").click()
    page.locator(".jz-moves li:nth-child(2)").wait_for()
    turn(page)
    page.keyboard.press("h")
    page.locator(".jz-status", has_text="would play").wait_for()
    held = []
    page.route("**/api/get", lambda route: held.append(route))  # the poll's question is not yet answered
    while not held:
        page.wait_for_timeout(100)
    page.keyboard.press("n")
    page.locator(".jz-moves li").first.wait_for(state="detached")
    assert page.locator(".jz-bars tbody tr").count() == 0
    address = page.url
    for route in held:
        route.continue_()
    page.wait_for_timeout(1500)
    assert (moves(page), page.url) == ([], address)


def test_letting_it_move_out_of_turn_or_twice_does_not_stop_it(serve, page):
    _, port = serve("connect_four")
    page.goto(f"http://127.0.0.1:{port}/#seed=0&moves=3.3")
    turn(page)
    page.get_by_label("strength").select_option("1600")
    turn(page)
    page.locator("[data-actions='2']").click()
    page.locator(".jz-status", has_text="newcomer thinks").wait_for()
    page.keyboard.press("m")
    page.locator(".jz-moves li:nth-child(4)").wait_for()
    turn(page)
    button = page.get_by_role("button", name="Let it move")
    button.click()
    button.click()
    page.locator(".jz-moves li:nth-child(6)").wait_for()
    turn(page)
    page.locator(".jz-moves button").first.click()
    page.locator(".jz-status", has_text="The position after").wait_for()
    before = len(moves(page))
    page.keyboard.press("m")
    page.locator(f".jz-moves li:nth-child({before + 2})").wait_for()


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("seed=0&moves=0.0", "is not legal in this position: this is a new game"),
        ("seed=abc&moves=1", "the link has seed abc, which is no whole number"),
        ("seed=-1&moves=1", "the link has seed -1, which is no whole number"),
        ("seed=0&moves=1.x", "the link has a move x, which is no whole number"),
        ("moves=99", "99 is not legal"),
        ("game=nothing", "there is no such game"),
    ],
)
def test_a_bad_link_says_why_and_begins_a_new_game(serve, page, link, says):
    _, port = serve("tic_tac_toe")
    page.goto(f"http://127.0.0.1:{port}/#{link}")
    page.locator(".jz-alarm", has_text=says).wait_for()
    page.locator(".jz-legal").nth(8).wait_for()
    page.evaluate("location.hash = '#seed=0&moves=4.0'")  # a link in the same window
    page.locator(".jz-moves li:nth-child(2)").wait_for()
    assert moves(page) == ["b2", "a3"]


def test_it_fits_a_phone_and_the_dark(serve, browser):
    _, port = serve("connect_four")
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page.goto(f"http://127.0.0.1:{port}/")
    page.locator(".jz-legal").first.wait_for()
    assert page.locator("main").bounding_box()["width"] <= 360
    box = page.locator(".jz-right").bounding_box()
    assert box["x"] + box["width"] <= 360
    keep(page, "phone_dark")


def test_fifty_tabs_each_play_a_game_of_their_own(serve, browser):
    child, port = serve("connect_four")

    def memory():
        status = Path(f"/proc/{child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def open_tab():
        tab = browser.new_context().new_page()
        tab.set_default_timeout(120_000)
        tab.goto(f"http://127.0.0.1:{port}/")
        turn(tab)
        return tab

    tabs = [open_tab()]
    before = memory()
    tabs += [open_tab() for _ in range(49)]
    opened = memory()
    begun = time.monotonic()
    for number, tab in enumerate(tabs):
        tab.locator(".jz-legal").nth(number % 7).click()
    answered = []
    for tab in tabs:
        tab.locator(".jz-moves li:nth-child(2)").wait_for()
        turn(tab)
        answered.append(time.monotonic() - begun)
    assert len({tab.url for tab in tabs}) == 50
    assert all(len(moves(tab)) == 2 for tab in tabs)
    answers = []
    for _ in range(20):
        began = time.monotonic()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
        answers.append(time.monotonic() - began)
    print(
        f"\nserver {before:.0f} MB with 1 tab, {opened:.0f} with 50, {memory():.0f} after a move in each; "
        f"all answered in {answered[-1]:.1f} s; the page then in {1000 * sorted(answers)[10]:.0f} ms"
    )
    assert memory() < before + 300
    assert max(answers) < 5
