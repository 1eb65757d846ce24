"""The credentials that go with each request and connection. Only `kube.transport` uses it."""

import asyncio
import time
from collections.abc import Mapping

from longshore.kube.config import Config

TOKEN_AGE = 10.0  # seconds that a token is used before its source is asked again


class Login:
    """The Authorization header; its source may block, so it is asked in a thread, and not for every request.

    `ssl` is for new connections, as of the last `headers`: once it is another one, no request goes over the old ones.
    """

    def __init__(self, config: Config) -> None:
        self.ssl = config.ssl
        self._config = config
        self._headers: dict[str, str] = {}
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        if time.monotonic() >= self._until:
            async with self._lock:
                if time.monotonic() >= self._until:
                    token = await asyncio.to_thread(self._config.token)
                    self.ssl = await asyncio.to_thread(self._config.renewed_ssl) or self.ssl
                    self._headers = {"Authorization": f"Bearer {token}"} if token else {}
                    self._until = time.monotonic() + TOKEN_AGE
        return dict(self._headers)

    def refused(self, used: Mapping[str, str]) -> None:
        """The server did not take these headers; where they have been renewed meanwhile, that is old news."""
        if used == self._headers:
            self._until = 0.0
            self._config.refused()
