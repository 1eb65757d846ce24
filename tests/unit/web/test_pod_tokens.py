"""What is asked of the API server about tokens is bounded, and rubbish keeps nobody's pods from being known."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from longshore.errors import TooManyRequests
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.web import pod_tokens
from longshore.web.auth import PodIdentity
from longshore.web.pod_tokens import OF_A_NAMESPACE, OF_A_POD, OF_STRANGERS, REMEMBER_SECONDS, PodTokens
from longshore.web.turns import Rate, Turns

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
        pods = PodTokens(client, "longshore", lambda _: True)
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


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def of(namespace: str, name: str, n: int) -> str:
    """The n-th token that says it is this pod's."""
    said = {"namespace": namespace, "pod": {"name": name, "uid": f"u-{name}"}, "n": n}
    return token(n, sub=f"system:serviceaccount:{namespace}:work", **{"kubernetes.io": said})


async def ask_until_refused(pods: PodTokens, tokens: list[str]) -> int:
    for count, each in enumerate(tokens):
        try:
            assert await pods(each) is None
        except TooManyRequests:
            return count
    return len(tokens)


async def test_rubbish_that_names_no_pod_keeps_no_pod_waiting(reviews: Reviews) -> None:
    clock = Clock()
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore", lambda pod: pod.namespace == "tenant-a", clock)
        rubbish = [of(f"ns-{n}", f"p{n}", n) for n in range(200)]
        assert await ask_until_refused(pods, rubbish) == OF_STRANGERS.at_once
        mine = of("tenant-a", "mine", 0)
        reviews.good.add(mine)
        known = await pods(mine)
        assert known is not None
        assert known.pod == PodIdentity("tenant-a", "name", "uid")
        assert reviews.asked == OF_STRANGERS.at_once + 1
        assert await pods(rubbish[0]) is None, "it is remembered that it is nobody's"
        clock.now += 1
        assert await ask_until_refused(pods, rubbish[100:]) == OF_STRANGERS.each_second, "the bound is a rate"


async def test_a_tenants_rubbish_keeps_no_other_tenants_pods_waiting(reviews: Reviews) -> None:
    """Its own pods' names and uids are no secret to it."""
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore", lambda _: True, Clock())
        assert await ask_until_refused(pods, [of("tenant-b", "one", n) for n in range(50)]) == OF_A_POD.at_once
        left = OF_A_NAMESPACE.at_once - OF_A_POD.at_once
        assert await ask_until_refused(pods, [of("tenant-b", f"p{n}", n) for n in range(500)]) == left
        mine = of("tenant-a", "mine", 0)
        reviews.good.add(mine)
        assert await pods(mine) is not None


async def test_who_is_known_is_asked_about_in_any_case_and_pushed_out_by_nobody(
    reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_tokens, "MOST", 20)
    clock = Clock()
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore", lambda _: False, clock)
        mine = token(-1)
        reviews.good.add(mine)
        known = await pods(mine)
        assert known is not None
        await ask_until_refused(pods, [token(n) for n in range(100)])
        asked = reviews.asked
        assert await pods(mine) == known, "from memory"
        assert reviews.asked == asked
        clock.now += REMEMBER_SECONDS + 1
        await ask_until_refused(pods, [token(n) for n in range(1000, 1100)])
        asked = reviews.asked
        assert await pods(mine) == known
        assert reviews.asked == asked + 1


@pytest.mark.parametrize(
    ("away", "most"), [(REMEMBER_SECONDS + 1, 1), (2 * REMEMBER_SECONDS + 1, 1 + OF_A_POD.on_the_way)]
)
async def test_the_requests_of_one_who_was_known_do_not_ask_each_for_itself(
    reviews: Reviews, away: float, most: int
) -> None:
    clock = Clock()
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore", lambda _: True, clock)
        reviews.good.add(token())
        known = await pods(token())
        clock.now += away
        asked = reviews.asked
        told = await asyncio.gather(*(pods(token()) for _ in range(200)), return_exceptions=True)
        assert reviews.asked == asked + most
        assert all(each == known or isinstance(each, TooManyRequests) for each in told)
        assert told.count(known) == (200 if most == 1 else most)
        reviews.good.clear()
        clock.now += REMEMBER_SECONDS + 1
        assert await pods(token()) is None, "once it is asked"


async def test_only_so_many_are_on_their_way(reviews: Reviews) -> None:
    async with Client(Config(server=reviews.url)) as client:
        pods = PodTokens(client, "longshore", lambda _: False)
        sent = await asyncio.gather(*(pods(token(n)) for n in range(40)), return_exceptions=True)
        assert [isinstance(each, TooManyRequests) for each in sent].count(False) == OF_STRANGERS.on_the_way
        assert await pods(token(0)) is None, "a turn ends with its answer"


@given(st.lists(st.floats(0, 10), max_size=200), st.integers(1, 20), st.floats(0.1, 50))
def test_no_more_are_let_in_than_the_rate_says(pauses: list[float], at_once: int, rate: float) -> None:
    clock = Clock()
    turns, let_in = Turns(Rate(rate, at_once, 1), clock), 0
    for pause in pauses:
        clock.now += pause
        if not turns.free:
            assert turns.wait >= 1
            continue
        with turns.take():
            let_in += 1
    assert let_in <= at_once + clock.now * rate + 1e-6
