"""Authenticator for the runner: projected ServiceAccount tokens with audience `longshore`, bound to their pod.

The API server says whose they are. A stranger can write any number that look right, so what is asked of it is counted:
for each pod there is and for its namespace, and for all tokens that name no pod there is together. Knows no kind.
Source: Kubernetes API reference, authentication.k8s.io/v1 TokenReview; KEP-1205 (bound tokens).
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
from msgspec import Struct

from longshore.errors import TooManyRequests
from longshore.kube.client import Client
from longshore.web.auth import Caller, PodIdentity
from longshore.web.turns import Rate, Turns

MAX_TOKEN = 16 * 1024
REMEMBER_SECONDS = 60.0
MOST = 4096  # tokens that are remembered, and pods that are counted for
# reviews a second, at once after a pause, and on their way at a time. A pod has one token an hour, shown by several
# requests at first; one that is good is asked about again each minute, once at a time, whatever the rates
OF_A_POD = Rate(1, 20, 10)
OF_A_NAMESPACE = Rate(10, 100, 40)
OF_ALL_PODS = Rate(100, 500, 100)
OF_STRANGERS = Rate(5, 50, 10)


class _PodClaims(Struct, frozen=True):
    name: str = ""
    uid: str = ""


class _ClusterClaims(Struct, frozen=True):
    namespace: str = ""
    pod: _PodClaims = _PodClaims()


class _Claims(Struct, frozen=True):
    aud: list[str] = []
    exp: float = 0
    sub: str = ""
    cluster: _ClusterClaims = msgspec.field(name="kubernetes.io", default=_ClusterClaims())


def claimed(token: str, audience: str) -> PodIdentity | None:
    """Whose a token says it is; None where it says itself that it is no pod's, not for us or no longer good. Not
    trusted: it spares the API server the rest.

    Source: RFC 7519 (JSON Web Token).
    """
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(payload, type=_Claims)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    namespace, pod = claims.cluster.namespace, claims.cluster.pod
    of_pod = bool(pod.uid) and claims.sub.startswith(f"system:serviceaccount:{namespace}:")
    if not of_pod or audience not in claims.aud or claims.exp <= time.time():
        return None
    return PodIdentity(namespace, pod.name, pod.uid)


class _User(Struct, frozen=True):
    username: str = ""
    extra: dict[str, list[str]] = {}


class _ReviewStatus(Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()


class _Review(Struct, frozen=True):
    status: _ReviewStatus = _ReviewStatus()


class PodTokens:
    """`exists` says whether there is such a pod, as far as is known here: its uid is no stranger's to know."""

    def __init__(
        self,
        client: Client,
        audience: str,
        exists: Callable[[PodIdentity], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audience = audience
        self._exists = exists
        self._clock = clock
        # those that are somebody's apart from those that are nobody's: strangers push out no pod
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._nobodys: OrderedDict[bytes, tuple[float, None]] = OrderedDict()
        self._renewing: set[bytes] = set()
        self._strangers, self._pods = Turns(OF_STRANGERS, clock), Turns(OF_ALL_PODS, clock)
        self._each: OrderedDict[str, Turns] = OrderedDict()

    async def __call__(self, credential: str) -> Caller | None:
        pod = claimed(credential, self._audience)
        if pod is None:
            return None
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._known.get(digest) or self._nobodys.get(digest)
        # one asks for all: while he does, what was good a minute ago is so for a minute more at most
        lasts = REMEMBER_SECONDS * (2 if digest in self._renewing else 1)
        if known is not None and self._clock() - known[0] < lasts:
            return known[1]
        with self._renewal(digest) if self._may_renew(digest) else self._turn(pod):
            caller = await self._review(credential)
        self._remember(digest, caller)
        return caller

    def _may_renew(self, digest: bytes) -> bool:
        """Whoever was known is asked about in any case, though not by each of his requests at a time."""
        return digest in self._known and digest not in self._renewing

    @contextmanager
    def _renewal(self, digest: bytes) -> Iterator[None]:
        self._renewing.add(digest)
        try:
            yield
        finally:
            self._renewing.discard(digest)

    @contextmanager
    def _turn(self, pod: PodIdentity) -> Iterator[None]:
        """Raises TooManyRequests, and takes nothing of what is shared where one's own is used up, nor the other way."""
        counted = self._counted(pod) if self._exists(pod) else (self._strangers,)
        with ExitStack() as turns:
            full = next((each for each in counted if not each.free), None)
            if full is not None:
                raise TooManyRequests(
                    "too many unknown tokens are being looked up",
                    hint="try again in a moment; pods that are known already are not kept waiting",
                    retry_after=full.wait,
                )
            for each in counted:
                turns.enter_context(each.take())
            yield

    def _counted(self, pod: PodIdentity) -> tuple[Turns, ...]:
        return self._of(f"pod {pod.uid}", OF_A_POD), self._of(pod.namespace, OF_A_NAMESPACE), self._pods

    def _of(self, name: str, rate: Rate) -> Turns:
        turns = self._each.setdefault(name, Turns(rate, self._clock))
        self._each.move_to_end(name)
        if len(self._each) > MOST:
            self._each.popitem(last=False)
        return turns

    def _remember(self, digest: bytes, caller: Caller | None) -> None:
        self._known.pop(digest, None)
        self._nobodys.pop(digest, None)
        if caller is None:
            self._nobodys[digest] = (self._clock(), None)
        else:
            self._known[digest] = (self._clock(), caller)
        for each in (self._known, self._nobodys):
            while len(each) > MOST:
                each.popitem(last=False)

    async def _review(self, token: str) -> Caller | None:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        answer = await self._client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        status = msgspec.json.decode(answer, type=_Review).status
        extra = status.user.extra
        name, uid = (extra.get(f"authentication.kubernetes.io/{field}", [""])[0] for field in ("pod-name", "pod-uid"))
        parts = status.user.username.split(":")
        if not (status.authenticated and uid and len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]):
            return None
        return Caller(f"pod {parts[2]}/{name}", pod=PodIdentity(parts[2], name, uid))
