"""`server`: a scripted faulty API server; `clock`: time that passes only when told to; `reflect`: a store kept by a
reflector that lives on both.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.kube.watch import Pace

from .faulty import Faulty

Reflect = Callable[..., AbstractAsyncContextManager[Store[Job]]]


class Clock:
    """`sleep` returns at once; `naps` is how long each was meant to be."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def elapse(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.elapse(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def time_passes(clock: Clock, until: Callable[[], bool]) -> None:
    """So slowly, by `loops_clock`, that whatever is under way gets there."""
    while not until():
        clock.elapse(0.02)
        await asyncio.to_thread(time.sleep, 0.005)


@pytest.fixture
async def server(clock: Clock) -> AsyncIterator[Faulty]:
    server = Faulty(clock.elapse)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: Faulty) -> AsyncIterator[Client]:
    async with Client(Config(server.url)) as client:
        yield client


@pytest.fixture
async def loops_clock(clock: Clock, server: Faulty, client: Client) -> AsyncIterator[None]:
    """Deadlines of the event loop go by the test's clock: no pause of this machine is taken for somebody's silence."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncio.get_running_loop(), "time", clock)
        yield


@pytest.fixture
def reflect(server: Faulty, client: Client, clock: Clock) -> Reflect:
    """`async with reflect() as store:` runs a reflector beside the body, and ends it afterwards. It lists in pages, or
    with `streamed=True` by stream.
    """

    @asynccontextmanager
    async def run(
        pace: Pace | None = None, rng: Random | None = None, streamed: bool = False, **options: Any
    ) -> AsyncIterator[Store[Job]]:
        store: Store[Job] = Store(JOBS, clock=clock)
        pace = pace or Pace()
        reflector = Reflector(
            client,
            store,
            clock=clock,
            sleep=clock.sleep,
            rng=rng or Random(1),
            pace=pace if streamed else replace(pace, initial=0),
            **options,
        )
        task = asyncio.create_task(reflector.run())
        try:
            async with asyncio.timeout(60):
                yield store
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled(), "the reflector ended by itself"

    return run


@pytest.fixture(scope="session")
def _authority() -> tuple[bytes, bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return (
        certificate.public_bytes(pem),
        key.private_bytes(pem, pkcs8, serialization.NoEncryption()),
        key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"passphrase")),
    )


@pytest.fixture
def authority(_authority: tuple[bytes, bytes, bytes]) -> bytes:
    """A certificate, PEM."""
    return _authority[0]


@pytest.fixture
def authority_key(_authority: tuple[bytes, bytes, bytes]) -> bytes:
    return _authority[1]


@pytest.fixture
def encrypted_key(_authority: tuple[bytes, bytes, bytes]) -> bytes:
    return _authority[2]
