"""The page's server, for this machine only.

Other sites in the browser cannot reach it: the Host of a request must be this machine with the server's port, which
excludes foreign names, and its Origin, if present, must be the same. Requests that change something are JSON, which
a form on another site cannot send. Only games in the run's folder are read from disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from jzero.play.desk import METHODS, Desk, checked_think
from jzero.play.game import Refused
from jzero.pytrees import Json
from jzero.show.page import PANELS, shown

LOOPBACK = "127.0.0.1"
MAX_BODY = 1 << 17
"""Largest size of a request in bytes."""
STREAMS = 128
"""Largest number of waiting analyses."""
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_FILES = ("page.html", "play.css", "board.js", "play.js", "http.js")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def application(desk: Desk, port: int) -> ASGIApp:
    """The ASGI application for a port."""
    thinker = ThreadPoolExecutor(1, thread_name_prefix="think")  # one search at a time, each on all cores
    streams = asyncio.Semaphore(STREAMS)
    warming = desk.warm_up()
    folder = resources.files("jzero.play") / "static"
    files = {name: (folder / name).read_text("utf-8") for name in _FILES}
    files |= {name: shown(name) for name in (*PANELS, "panels.css")}

    async def warm_up() -> None:
        """Compiles between the searches of players, which come first."""
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(thinker, lambda: next(warming, "done")) is None:
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        task = asyncio.create_task(warm_up())
        yield
        task.cancel()
        thinker.shutdown(wait=False, cancel_futures=True)

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "page.html")
        if name not in files:
            return PlainTextResponse("there is no such page\n", 404)
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(files[name], media_type=f"{kind}; charset=utf-8")

    async def ask(request: Request) -> Response:
        arguments, method = await _json(request), request.path_params["method"]
        if method not in METHODS:
            return PlainTextResponse("there is no such request\n", 404)
        loop = asyncio.get_running_loop()
        return JSONResponse(await loop.run_in_executor(None, desk.ask, method, arguments))

    async def think(request: Request) -> Response:
        arguments = checked_think(await _json(request))
        if streams.locked():
            raise Refused("too many analyses are waiting; close some windows")
        thoughts = desk.think(**arguments)
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(thinker, _next, thoughts)  # refusals have a status of their own
        return StreamingResponse(events(first, thoughts), media_type="text/event-stream")

    async def events(first: Json | None, thoughts: Iterator[Json]) -> AsyncIterator[str]:
        loop, thought = asyncio.get_running_loop(), first
        async with streams:
            while thought is not None:
                yield f"data: {json.dumps(thought)}\n\n"
                try:
                    thought = await loop.run_in_executor(thinker, _next, thoughts)
                except Refused as error:
                    yield f"data: {json.dumps({'refused': str(error)})}\n\n"
                    return

    async def refused(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, Refused)
        return JSONResponse({"refused": str(error)}, error.status)

    routes = [
        Route("/", page),
        Route("/static/{name}", page),
        Route("/api/think", think, methods=["POST"]),
        Route("/api/{method}", ask, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={Refused: refused}, lifespan=lifespan)
    return _guarded(app, port)


async def _json(request: Request) -> Any:
    """The body of a request.

    Raises:
        Refused: it is too large, or not JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused("a request must be JSON with the content type application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(f"a request has at most {MAX_BODY} bytes")
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refused("the request is not JSON") from None


def _next(thoughts: Iterator[Json]) -> Json | None:
    return next(thoughts, None)


def _guarded(app: ASGIApp, port: int) -> ASGIApp:
    """The application, restricted to requests from its own page, with headers that isolate the page."""
    hosts = {f"{name}:{port}".encode() for name in (LOOPBACK, "localhost")}
    origins = {b"http://" + host for host in hosts}
    more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
            return
        headers = dict(scope["headers"])

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        if headers.get(b"host", b"").lower() not in hosts or headers.get(b"origin", b"") not in {
            b"",
            *origins,
        }:
            answer = PlainTextResponse("this server answers only its own page\n", 403)
            await answer(scope, receive, send_with_headers)
            return
        await app(scope, receive, send_with_headers)

    return guarded


def listen(port: int) -> socket.socket:
    """A listening socket on loopback.

    Args:
        port: 0 for any free port.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    listener.listen(128)
    return listener
