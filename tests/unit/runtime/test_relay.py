"""Messages between two relays, over real connections."""

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

import aiohttp
import pytest
from aiohttp import web

from longshore.errors import Forbidden, NotFound, Unavailable
from longshore.runtime import relay as module
from longshore.runtime.relay import Relay
from longshore.runtime.seal import Seal


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a machine that stands still."""
    monkeypatch.setattr(module, "CONNECT_SECONDS", 60.0)
    monkeypatch.setattr(module, "SILENCE_SECONDS", 60.0)


@pytest.fixture
async def here() -> AsyncIterator[Relay]:
    async with Relay() as relay:
        relay.trust(b"secret")
        yield relay


@pytest.fixture
async def there() -> AsyncIterator[Relay]:
    async with Relay() as relay:
        relay.trust(b"secret")
        relay.offer("count", count)
        yield relay


async def count(params: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    if params["to"] == "nowhere":
        raise NotFound("there is no such number")
    for n in range(int(params["to"])):
        yield b"%d" % n * 1000
    if params.get("then") == "break":
        raise Unavailable("it broke")


async def called(relay: Relay, address: str, **params: str) -> list[bytes]:
    return [message async for message in relay.call(address, "count", params)]


async def test_messages_arrive_whole_and_in_order_and_end(here: Relay, there: Relay) -> None:
    assert await called(here, there.address, to="50") == [b"%d" % n * 1000 for n in range(50)]
    assert await called(here, there.address, to="0") == []


async def test_what_is_not_there_is_told_from_who_is_not_there(here: Relay, there: Relay) -> None:
    with pytest.raises(NotFound, match="no such number"):
        await called(here, there.address, to="nowhere")
    with pytest.raises(NotFound):
        await anext(here.call(there.address, "other", {}))
    with pytest.raises(Unavailable):
        await called(here, "127.0.0.1:9", to="1")


async def test_a_stream_that_breaks_off_does_not_look_like_its_end(here: Relay, there: Relay) -> None:
    with pytest.raises(Unavailable):
        await called(here, there.address, to="3", then="break")


async def test_nobody_without_the_secret_is_answered(here: Relay, there: Relay) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://{there.address}/relay/count?to=3") as answer:
        assert answer.status == 403
    here.trust(b"another")
    with pytest.raises(Forbidden) as refused:
        await called(here, there.address, to="3")
    assert b"another".hex() not in str(refused.value)
    async with Relay() as untold:
        untold.offer("count", count)
        with pytest.raises(Forbidden):
            await called(here, untold.address, to="3")


async def test_a_call_that_was_overheard_opens_nothing_again_and_does_not_hold_the_secret(
    here: Relay, there: Relay
) -> None:
    overheard: list[tuple[str, dict[str, str]]] = []

    async def listens(request: web.Request) -> web.Response:
        overheard.append((request.path_qs, dict(request.headers)))
        return web.Response(status=503)

    app = web.Application()
    app.router.add_get("/{all:.*}", listens)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener = f"127.0.0.1:{runner.addresses[0][1]}"
    with pytest.raises(Unavailable):
        await called(here, listener, to="3")
    ((path, headers),) = overheard
    assert b"secret".hex() not in str(headers)
    signed = {"Longshore-Signed": headers["Longshore-Signed"]}
    ours = {"Longshore-Signed": _seal().sign(module._said(there.address, "count", {"to": "3"})).hex()}
    async with aiohttp.ClientSession() as session:

        async def status(path: str, headers: dict[str, str]) -> int:
            async with session.get(f"http://{there.address}{path}", headers=headers) as answer:
                return answer.status

        assert await status(path, signed) == 403, "it was for another replica"
        assert await status("/relay/count?to=4", ours) == 403, "it was for other parameters"
        assert await status("/relay/count?to=3", {"Longshore-Signed": "no hex"}) == 403
        assert await status("/relay/count?to=3", ours) == 200
        assert await status("/relay/count?to=3", ours) == 403, "it was used"
    await runner.cleanup()


async def test_silence_is_filled_with_signs_of_life_and_a_caller_that_leaves_ends_the_stream(
    here: Relay, there: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    ended, speak = asyncio.Event(), asyncio.Event()

    async def late(_: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        try:
            await speak.wait()
            yield b"at last"
            await asyncio.Event().wait()
        finally:
            ended.set()

    there.offer("late", late)
    signed = {"Longshore-Signed": _seal().sign(module._said(there.address, "late", {})).hex()}
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        async with aclosing(here.call(there.address, "late", {})) as messages:
            coming = asyncio.ensure_future(anext(messages))
            async with session.get(f"http://{there.address}/relay/late", headers=signed) as wire:
                assert await wire.content.readexactly(5 * 4) == bytes(5 * 4), "what is silent shows that it lives"
                speak.set()
                assert await coming == b"at last"
        await ended.wait()


async def test_who_shows_no_sign_of_life_is_taken_for_gone(
    here: Relay, there: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)

    async def silent(_: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    there.offer("silent", silent)
    with pytest.raises(Unavailable, match="is away"):
        await anext(here.call(there.address, "silent", {}))


def _seal() -> Seal:
    """Of the calls between those who share the secret."""
    return Seal(hmac.digest(b"secret", b"calls", "sha256"))
