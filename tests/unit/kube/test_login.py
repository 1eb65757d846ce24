"""When a credential is fetched anew: its source, as a plugin, remembers what it gave until that is refused."""

import asyncio
from collections.abc import Callable

import pytest

from longshore.kube import login as module
from longshore.kube.config import Config
from longshore.kube.login import Login


class Source:
    """`meanwhile` is called once, on the event loop, between the question for the token and that for a certificate."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile: Callable[[], None] | None = None
        self._answer: str | None = None
        self._loop = asyncio.get_running_loop()

    def token(self) -> str:
        if self._answer is None:
            self.asked += 1
            self._answer = f"token-{self.asked}"
        return self._answer

    def renewed_ssl(self) -> None:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None

            async def call() -> None:
                meanwhile()

            asyncio.run_coroutine_threadsafe(call(), self._loop).result(60)
        self.token()

    def refused(self) -> None:
        self._answer = None


def logged_in(source: Source) -> Login:
    return Login(Config("http://x", token=source.token, renewed_ssl=source.renewed_ssl, refused=source.refused))


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_refusal_that_comes_late_while_it_is_fetched_anew_has_nobody_asked_once_more() -> None:
    source = Source()
    login = logged_in(source)
    assert await login.headers() == bearing("token-1")
    used = login.generation
    login.refused(used)
    source.meanwhile = lambda: login.refused(used)
    assert await login.headers() == bearing("token-2")
    login.refused(used)
    assert await login.headers() == bearing("token-2")
    assert source.asked == 2


async def test_what_is_refused_while_it_is_only_looked_at_again_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    login = logged_in(source)
    with monkeypatch.context() as at_once:
        at_once.setattr(module, "TOKEN_AGE", 0.0)
        assert await login.headers() == bearing("token-1")
    source.meanwhile = lambda: login.refused(login.generation)
    assert await login.headers() == bearing("token-2")
    assert source.asked == 2
