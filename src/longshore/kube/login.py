"""The credentials that go with each request and connection. Only `kube.transport` uses it."""

import asyncio
import time

from longshore.kube.config import Config

TOKEN_AGE = 10.0  # seconds that a token is used before its source is asked again


class Login:
    """The Authorization header; its source may block, so it is asked in a thread, and not for every request.

    `ssl` is for new connections, as of the last `headers`: once it is another one, no request goes over the old ones.
    `generation` counts how often either became another one.
    """

    def __init__(self, config: Config) -> None:
        self.ssl = config.ssl
        self.generation = 0
        self._config = config
        self._headers: dict[str, str] = {}
        self._until = 0.0
        self._refused = False  # since it was fetched last
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        if time.monotonic() >= self._until:
            async with self._lock:
                if time.monotonic() >= self._until:
                    await self._renew()
        return dict(self._headers)

    def refused(self, generation: int) -> None:
        """The server did not take what was used then; where it was renewed, or is about to be, that is old news."""
        if generation == self.generation and not self._refused:
            self._refused, self._until = True, 0.0
            self._config.refused()

    async def _renew(self) -> None:
        """What is refused while it is asked for, and comes back the same, is asked for again."""
        before = self._refused
        changed = await self._fetch()
        if self._refused and not (before or changed):
            changed = await self._fetch()
        self.generation += changed
        self._refused, self._until = False, time.monotonic() + TOKEN_AGE

    async def _fetch(self) -> bool:
        """Whether it is another one now."""
        was = self._headers, self.ssl
        token = await asyncio.to_thread(self._config.token)
        self.ssl = await asyncio.to_thread(self._config.renewed_ssl) or self.ssl
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        return was != (self._headers, self.ssl)
