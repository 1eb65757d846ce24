import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longshore.cluster import parts
from longshore.cluster.certs import LOOPBACK, Authority
from longshore.cluster.parts import Check, Part, check_order, passes, stamped


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks and who answers are one process here, which may be put aside."""
    monkeypatch.setattr(parts, "PATIENCE", 60.0)


@asynccontextmanager
async def serving(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{'https' if tls else 'http'}://{host}:{port}/readyz"


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nok", True),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n200", False),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", False),
        (b"200", False),
        (b"", False),
    ],
)
async def test_ready_is_an_answer_of_200(answer: bytes, ready: bool) -> None:
    async with serving(answer) as url:
        assert await passes(Check(url)) is ready


async def test_nobody_there_is_not_ready() -> None:
    async with serving(b"") as url:
        pass
    assert not await passes(Check(url))


async def test_a_certificate_of_another_authority_is_not_ready(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*ours.server("server", LOOPBACK))
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", tls) as url:
        assert await passes(Check(url, ca=str(ours.pair.cert)))
        assert not await passes(Check(url, ca=str(other.pair.cert)))
        assert not await passes(Check(url, ca=str(tmp_path / "missing")))


def test_the_order_of_parts_rules_out_circles_and_doubles() -> None:
    one, two = Part("one", ("true",)), Part("two", ("true",), after=("one",))
    check_order([one, two])
    with pytest.raises(ValueError, match="two waits for one"):
        check_order([two, one])
    with pytest.raises(ValueError, match="called one"):
        check_order([one, one])


def test_a_part_is_another_once_a_certificate_that_it_reads_is(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    certificate = tmp_path / "pki" / "a.crt"
    certificate.write_text("old")
    part = Part("a", ("a", f"--cert={certificate}", "--data", str(tmp_path)))
    old = stamped(part, tmp_path)
    assert stamped(old, tmp_path) == old
    certificate.write_text("new")
    assert stamped(old, tmp_path) != old
