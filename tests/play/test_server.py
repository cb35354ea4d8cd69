"""The server: its own page alone, refusals as JSON, nothing lost."""

import json
import resource

import numpy as np
import pytest

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")

from jzero.play.server import application  # noqa: E402

PORT = 8642
OWN = {"host": f"127.0.0.1:{PORT}"}


@pytest.fixture
def client(desk_of):
    transport = httpx.ASGITransport(application(desk_of("tic_tac_toe"), PORT))

    async def call(requests):
        async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as client:
            return [await client.request(**request) for request in requests]

    import anyio

    return lambda *requests: anyio.run(call, requests)


def post(path, body, **headers):
    return {"method": "POST", "url": f"/api/{path}", "json": body, "headers": OWN | headers}


def test_the_page_and_its_files_are_there_and_nothing_else(client):
    names = ("", "static/play.css", "static/http.js", "static/../desk.py", "static/%2e%2e%2fdesk.py", "runs")
    answers = client(*({"method": "GET", "url": f"/{name}", "headers": OWN} for name in names))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 404, 404]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8642"},
        {"host": "127.0.0.1:80"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8000"},
    ],
)
def test_other_sites_get_no_answer(client, headers):
    (answer,) = client(post("new", {}, **headers))
    assert answer.status_code == 403
    assert "own page" in answer.text


def test_a_form_of_another_site_changes_nothing(client):
    (answer,) = client(
        {
            "method": "POST",
            "url": "/api/new",
            "content": "{}",
            "headers": OWN | {"content-type": "text/plain"},
        }
    )
    assert (answer.status_code, "JSON" in answer.text) == (400, True)


def test_a_game_is_played_and_analysed(client):
    (answer,) = client(post("new", {}, origin=f"http://127.0.0.1:{PORT}"))
    game = answer.json()
    answers = client(
        post("play", {"game": game["id"], "ply": 0, "action": 4}),
        post("think", {"game": game["id"], "ply": 1, "simulations": 16, "move": True}),
        post("play", {"game": game["id"], "ply": 0, "action": 4}),
        post("get", {"game": "nothing"}),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 409, 404]
    events = [json.loads(event[len("data: ") :]) for event in answers[1].text.split("\n\n")[:-1]]
    assert [list(event) for event in events] == [["thought"], ["game"]]
    assert events[1]["game"]["ply"] == 2


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_garbage_is_refused_and_the_game_stays_and_memory_is_flat(client, count):
    (answer,) = client(post("new", {"actions": [0]}))
    game, rng = answer.json(), np.random.default_rng(0)
    values = [None, -1, 2**70, 1.5, "", "x" * 300, [], [[]], {}, True, game["id"], "\u0000", 0]
    methods = [
        "new",
        "get",
        "play",
        "undo",
        "sit",
        "position",
        "tree",
        "worlds",
        "text",
        "load",
        "think",
        "no",
        "",
    ]
    names = ["game", "ply", "action", "path", "seats", "simulations", "seed", "actions", "text", "agent"]
    requests = []
    for _ in range(count):
        body = {
            names[rng.integers(len(names))]: values[rng.integers(len(values))] for _ in range(rng.integers(4))
        }
        requests.append(post(methods[rng.integers(len(methods))], body))
    client(*requests[: count // 4])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers = client(*requests)
    assert {answer.status_code for answer in answers} <= {200, 400, 404, 405, 409}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB, most of it answers
    raw = [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"1" * 200_000]
    headers = OWN | {"content-type": "application/json"}
    answers = client(
        *({"method": "POST", "url": "/api/get", "content": text, "headers": headers} for text in raw)
    )
    assert {answer.status_code for answer in answers} == {400}
    (answer,) = client(post("get", {"game": game["id"]}))
    assert answer.json() == game
