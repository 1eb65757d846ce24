"""Who is the administrator, that nobody is by an empty token, and that a long answer asks again who reads it."""

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from longshore.errors import TooManyRequests, Unavailable, UserMistake
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.web.auth import (
    AGAIN_SECONDS,
    Authentication,
    Caller,
    PodIdentity,
    PodTokens,
    admin_token,
    asked_again,
)


async def test_the_administrator_is_who_shows_the_token_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    authenticate = admin_token(file)
    administrator = await authenticate("secret")
    assert administrator is not None
    assert administrator.admin
    for other in ("", "secret\n", "Secret", "secre"):
        assert await authenticate(other) is None


def test_an_empty_token_file_makes_nobody_administrator(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" \n")
    with pytest.raises(UserMistake, match="is empty"):
        admin_token(file)


async def test_a_long_answer_asks_now_and_then_whether_its_reader_is_still_known() -> None:
    known: list[Caller | Unavailable | None] = [Caller("k", tenant="t"), Unavailable("keys are away"), None]
    now = 0.0

    async def authenticate(credential: str) -> Caller | None:
        assert credential == "good"
        found = known.pop(0)
        if isinstance(found, Unavailable):
            raise found
        return found

    app = Starlette()
    app.state.authentication = Authentication([authenticate])
    scope = {"type": "http", "app": app, "headers": [(b"x-api-key", b"good")]}
    still_known = asked_again(HTTPConnection(scope), lambda: now)
    assert await still_known()
    assert len(known) == 3, "nobody is asked at once"
    for expected in (True, True, False):
        now += AGAIN_SECONDS
        assert await still_known() is expected


EXPIRES = 4_000_000_000  # in 2096: the tests of a long run are collected long before they run


def token(n: int = 0, **claims: Any) -> str:
    """Looks like the bound token of a pod; nobody has signed it."""
    pod = {"namespace": "tenant-a", "pod": {"name": f"p{n}", "uid": f"u{n}"}}
    sub = "system:serviceaccount:tenant-a:longshore-work"
    said = {"aud": ["longshore"], "exp": EXPIRES, "sub": sub, "kubernetes.io": pod, **claims}
    payload = base64.urlsafe_b64encode(msgspec.json.encode(said)).decode().rstrip("=")
    return f"e30.{payload}.{n}"


class Reviews:
    """An API server over HTTP that knows the tokens of some pods."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        shown = (await request.json())["spec"]["token"]
        extra = {f"authentication.kubernetes.io/pod-{what}": [what] for what in ("name", "uid")}
        user = {"username": "system:serviceaccount:tenant-a:longshore-work", "extra": extra}
        return web.json_response({"status": {"authenticated": shown in self.good, "user": user}})


@pytest.fixture
async def reviews() -> AsyncIterator[Reviews]:
    made = Reviews()
    app = web.Application()
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_what_cannot_be_a_pods_token_is_never_sent_on(reviews: Reviews) -> None:
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore")
        wrong: tuple[dict[str, Any], ...] = (
            {"aud": ["other"]},
            {"exp": time.time() - 1},
            {"sub": "system:serviceaccount:elsewhere:longshore-work"},
            {"sub": "somebody"},
            {"kubernetes.io": {"namespace": "tenant-a"}},
            {"kubernetes.io": "text"},
        )
        for claims in wrong:
            assert await pods(token(**claims)) is None
        assert await pods("ls_key") is None
        deep = base64.urlsafe_b64encode(b'{"x":' + b"[" * 5000).decode().rstrip("=")
        assert await pods(f"e30.{deep}.0") is None, "whoever nests without end is refused as anybody else"
        assert reviews.asked == 0


async def test_strangers_are_asked_about_at_a_bounded_rate_and_push_out_no_pod(reviews: Reviews) -> None:
    now = 0.0
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore", lambda: now)
        pods.MOST = 20
        mine = token(-1)
        reviews.good.add(mine)
        known = await pods(mine)
        assert known is not None
        assert known.pod == PodIdentity("tenant-a", "name", "uid")
        for n in range(int(pods.BURST) - 1):
            assert await pods(token(n)) is None
        assert await pods(token(int(pods.BURST) - 2)) is None, "it is remembered that it is nobody's"
        with pytest.raises(TooManyRequests):
            await pods(token(1000))
        assert reviews.asked == int(pods.BURST)
        assert await pods(mine) == known, "from memory"
        now += pods.REMEMBER_SECONDS + 1
        for n in range(2000, 2000 + int(pods.BURST)):
            assert await pods(token(n)) is None
        assert await pods(mine) == known, "who was known is asked about in any case"
        with pytest.raises(TooManyRequests):
            await pods(token(1000))
        now += 1
        assert await pods(token(1000)) is None, "the bound is a rate"
