"""Talks to a cluster's etcd past its API server, through etcd's JSON gateway."""

import base64
import ssl
from types import TracebackType
from typing import Any, Self

import aiohttp

from longshore.cluster.cluster import LocalCluster


class Etcd:
    """An async context manager, logged in as the API server. Source: etcd docs, "gRPC gateway"."""

    def __init__(self, cluster: LocalCluster) -> None:
        pki = cluster.folder.pki
        context = ssl.create_default_context(cafile=str(pki / "etcd-ca.crt"))
        context.load_cert_chain(pki / "etcd-client.crt", pki / "etcd-client.key")
        self._url = f"https://127.0.0.1:{cluster.port('etcd')}"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def compact(self) -> None:
        """Forget all history up to a new revision, in which something changes that no API server reads."""
        answer = await self._call("put", key=_text("/unread"))
        await self._call("compaction", revision=answer["header"]["revision"], physical=True)

    async def delete(self, resource: str, namespace: str, name: str) -> None:
        """Delete an object as if by an API server that we do not see."""
        answer = await self._call("deleterange", key=_text(f"/registry/{resource}/{namespace}/{name}"))
        assert answer["deleted"] == "1"

    async def _call(self, what: str, **body: Any) -> dict[str, Any]:
        async with self._session.post(f"{self._url}/v3/kv/{what}", json=body) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer


def _text(key: str) -> str:
    return base64.b64encode(key.encode()).decode()
