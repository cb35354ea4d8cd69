"""The page in a browser, offline: whole games by clicks and by keys, in every width and colour."""

import contextlib
import shutil

import pytest

from jzero.export.html import write_html
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from tests.helpers.exporting import random_network

pytestmark = pytest.mark.slow
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = {
    "tic_tac_toe": NetworkSettings(width=16, blocks=1),
    "connect_four": NetworkSettings("resnet", width=8, blocks=1),
    "quoridor?size=5&walls=3": NetworkSettings(width=16, blocks=1, norm="none"),
}
OVER = "You won. The agent won. A draw. Nobody won"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextlib.contextmanager
def opened(browser, folder, name, **options):
    """The page of a game in a browser without a network; what goes wrong in it ends the test."""
    spec, _, params = random_network(name, PAGES[name])
    write_html(folder / "p.html", spec.env, PAGES[name], params, SearchSettings())
    context, wrong = browser.new_context(offline=True, **options), []
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith("file:") or wrong.append(request.url))
    page.goto(f"file://{folder / 'p.html'}")
    yield page
    assert wrong == []
    context.close()


def status(page):
    """What the page says once it waits for the human or the game is over."""
    page.wait_for_function(
        "!/thinks|Looking/.test(document.getElementById('status').textContent)", polling=20
    )
    return page.text_content("#status")


def is_over(text):
    return text in OVER or text.startswith("Nobody")


@pytest.mark.parametrize("seat", [0, 1])
@pytest.mark.parametrize("name", PAGES)
def test_a_whole_game_by_clicks(browser, tmp_path, name, seat):
    with opened(browser, tmp_path, name) as page:
        page.click("text=16")
        if seat:
            page.click("text=Second")
        plies = 0
        while not is_over(status(page)) and plies < 120:
            targets = page.query_selector_all("#board [data-action] .area")
            targets[(7 * plies) % len(targets)].click()
            plies += 1
        assert is_over(status(page)), status(page)
        assert plies >= 3 - seat
        assert page.query_selector_all("#board [data-action]") == []
        assert page.query_selector(".found tbody tr")
        page.click("#new")
        assert status(page) == "Your turn."


def test_undo_hint_and_strength(browser, tmp_path):
    with opened(browser, tmp_path, "connect_four") as page:
        assert page.is_disabled("#undo")
        page.click("#hint-button")
        assert page.wait_for_selector("text=/Hint: column/")
        rows = page.query_selector_all(".found tbody tr")
        assert len(rows) == 7
        visits = [int(row.query_selector(".visits b").text_content()) for row in rows]
        assert sum(visits) == 64
        page.click("text=Instinct")
        page.click("#board [data-action='3']")
        assert status(page) == "Your turn."
        assert page.text_content("#found-title") == "The agent's last move"
        assert {row.text_content() for row in page.query_selector_all(".visits b")} == {"–"}
        assert len(page.query_selector_all("#board circle.first:not(.ghost)")) == 1
        page.click("#undo")
        assert status(page) == "Your turn."
        assert page.query_selector_all("#board circle.first:not(.ghost)") == []
        assert page.is_disabled("#undo")


def test_a_game_by_keys(browser, tmp_path):
    with opened(browser, tmp_path, "tic_tac_toe") as page:
        page.focus("#board [data-action]")
        label = "document.activeElement.getAttribute('aria-label')"
        assert page.evaluate(label) == "a3"
        for key, expected in (
            ("ArrowRight", "b3"),
            ("ArrowDown", "b2"),
            ("ArrowLeft", "a2"),
            ("ArrowUp", "a3"),
        ):
            page.keyboard.press(key)
            assert page.evaluate(label) == expected
        plies = 0
        while not is_over(status(page)) and plies < 9:
            page.wait_for_function("document.activeElement.dataset.action !== undefined")
            page.keyboard.press("Enter")
            plies += 1
        assert is_over(status(page))
        page.keyboard.press("u")
        assert status(page) == "Your turn."
        page.keyboard.press("h")
        assert page.wait_for_selector("text=/Hint: /")
        page.keyboard.press("n")
        assert len(page.query_selector_all("#board [data-action]")) == 9


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_page_without_scrolling_sideways(browser, tmp_path, name, scheme):
    size = {"width": 360, "height": 740}
    with opened(browser, tmp_path, name, viewport=size, color_scheme=scheme, has_touch=True) as page:
        page.click("#hint-button")
        page.wait_for_selector("text=/Hint: /")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        named = "(one) => one.ariaLabel || one.textContent || one.closest('label')?.textContent"
        names = page.eval_on_selector_all("button, [role], section, input", f"all => all.map({named})")
        assert all(names)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert light == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(16, 18, 22)")
        page.tap("#board [data-action]")
        assert status(page)
