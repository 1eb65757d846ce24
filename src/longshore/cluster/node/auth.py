"""Who may ask this node: client certificates of the cluster's authority, else tokens, both judged by the API server.

Source: Kubernetes docs "Kubelet authentication/authorization". Members of system:masters, such as the API server's own
kubelet client, are let through without asking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from longshore.errors import Forbidden, Unauthenticated
from longshore.kube.client import Client

_MASTERS = "system:masters"
_REMEMBERED_SECONDS = 60.0
_REMEMBERED = 1000


class Caller(Struct, frozen=True):
    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class _UserInfo(Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""


class _ReviewStatus(Struct, frozen=True):
    authenticated: bool = False
    allowed: bool = False
    user: _UserInfo = _UserInfo()


class _Review(Struct, frozen=True):
    status: _ReviewStatus = _ReviewStatus()


class Gate:
    """Decides for one node; answers of the API server are remembered for a minute."""

    def __init__(self, client: Client, node: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._node = node
        self._clock = clock
        self._remembered: dict[object, tuple[float, object]] = {}

    async def caller(self, peer_certificate: Mapping[str, Any] | None, authorization: str) -> Caller:
        """Who asks. Raises Unauthenticated."""
        if peer_certificate:
            return from_certificate(peer_certificate)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("no credentials", hint="show a client certificate or a bearer token")
        known = self._recall(token)
        if not isinstance(known, Caller):
            known = await self._review_token(token)
            self._remember(token, known)
        return known

    async def check(self, caller: Caller, verb: str, subresource: str) -> None:
        """Whether the caller may do this with nodes/`subresource` of this node. Raises Forbidden."""
        if _MASTERS in caller.groups:
            return
        key = (caller, verb, subresource)
        allowed = self._recall(key)
        if allowed is None:
            allowed = await self._review_access(caller, verb, subresource)
            self._remember(key, allowed)
        if not allowed:
            raise Forbidden(f"{caller.user} may not {verb} nodes/{subresource} of {self._node}")

    async def _review_token(self, token: str) -> Caller:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        answer = await self._client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        status = msgspec.json.decode(answer, type=_Review).status
        if not status.authenticated:
            raise Unauthenticated("the API server does not know this token", hint="use a valid one")
        return Caller(status.user.username, status.user.groups, status.user.uid)

    async def _review_access(self, caller: Caller, verb: str, subresource: str) -> bool:
        attributes = {
            "verb": verb,
            "resource": "nodes",
            "subresource": subresource,
            "name": self._node,
            "version": "v1",
        }
        spec = {"user": caller.user, "groups": caller.groups, "uid": caller.uid, "resourceAttributes": attributes}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._client.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        return msgspec.json.decode(answer, type=_Review).status.allowed

    def _recall(self, key: object) -> object | None:
        until, value = self._remembered.get(key, (0.0, None))
        return value if until > self._clock() else None

    def _remember(self, key: object, value: object) -> None:
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = (self._clock() + _REMEMBERED_SECONDS, value)


def from_certificate(certificate: Mapping[str, Any]) -> Caller:
    """Common name and organisations, as Kubernetes reads them; `certificate` as ssl.getpeercert returns it."""
    pairs = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    if not names:
        raise Unauthenticated("the certificate names nobody", hint="its subject needs a common name")
    return Caller(names[0], tuple(value for key, value in pairs if key == "organizationName"))
