"""Who asks: turns a request's credential into a Caller; knows no kind.

The composition root hands in the authenticators in order; each says who a credential belongs to, or that it is not one
of its own. What a Caller may do is decided by the routes, through the methods here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import Depends
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from longshore.errors import Forbidden, LongshoreError, NotFound, TooManyRequests, Unauthenticated, UserMistake
from longshore.kube.client import Client

MAX_TOKEN = 16 * 1024
AGAIN_SECONDS = 20.0
HINT = "send an API key as 'X-API-Key: ls_...' or 'Authorization: Bearer ls_...'"


class PodIdentity(Struct, frozen=True):
    """A pod that showed its bound ServiceAccount token."""

    namespace: str
    name: str
    uid: str


class Caller(Struct, frozen=True):
    """Who asks. Exactly one of: an administrator, a tenant's key (by the Tenant object's name), a pod."""

    name: str
    tenant: str | None = None
    admin: bool = False
    pod: PodIdentity | None = None

    def require_admin(self) -> None:
        if not self.admin:
            raise Forbidden("this is for administrators", hint="use the administrator's token")

    def tenant_for(self, asked: str | None) -> str:
        """The tenant a write is for: the key's own, or the one an administrator names."""
        if self.admin:
            if asked is None:
                raise UserMistake(
                    "which tenant is this for?",
                    hint="add ?tenant=ID",
                    field="tenant",
                )
            return asked
        if self.tenant is None:
            raise Forbidden("a pod's token does not open this", hint=HINT)
        if asked not in (None, self.tenant):
            raise NotFound(f"there is no tenant {asked!r} here", hint="a key acts for its own tenant only")
        return self.tenant

    def sees(self, tenant: str) -> bool:
        return self.admin or (self.tenant is not None and self.tenant == tenant)


Authenticator = Callable[[str], Awaitable[Caller | None]]


class Authentication:
    """The chain of authenticators; the first that knows the credential decides."""

    def __init__(self, chain: Sequence[Authenticator]) -> None:
        self._chain = tuple(chain)

    async def caller(self, headers: Headers) -> Caller:
        """Raises Unauthenticated; the credential itself is never in the message."""
        credential = credential_of(headers)
        if credential is None:
            raise Unauthenticated("no credential was sent", hint=HINT)
        return await self.recognise(credential)

    async def recognise(self, credential: str) -> Caller:
        """Who a credential belongs to. Raises Unauthenticated."""
        for authenticator in self._chain:
            caller = await authenticator(credential)
            if caller is not None:
                return caller
        raise Unauthenticated("this credential is unknown, expired or revoked", hint=HINT)


def credential_of(headers: Headers) -> str | None:
    """What a request shows: `X-API-Key`, or a bearer token (RFC 6750)."""
    if key := headers.get("x-api-key"):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def current_caller(connection: HTTPConnection) -> Caller:
    """FastAPI dependency: the Caller of this request."""
    authentication: Authentication = connection.app.state.authentication
    return await authentication.caller(connection.headers)


Who = Annotated[Caller, Depends(current_caller)]


def asked_again(
    connection: HTTPConnection, clock: Callable[[], float] = time.monotonic
) -> Callable[[], Awaitable[bool]]:
    """Whether who sent this is still known, for answers that last: looked up at most every `AGAIN_SECONDS`."""
    authentication: Authentication = connection.app.state.authentication
    headers, asked = connection.headers, clock()

    async def still_known() -> bool:
        nonlocal asked
        if clock() - asked < AGAIN_SECONDS:
            return True
        asked = clock()
        try:
            await authentication.caller(headers)
        except Unauthenticated:
            return False
        except LongshoreError:
            return True  # it cannot be said for now
        return True

    return still_known


def admin_token(path: Path) -> Authenticator:
    """The administrator of the local cluster, by the token in a file that only he can read. Raises UserMistake."""
    token = path.read_text().strip()
    if not token:
        hint = "write a long random token into it: openssl rand -hex 32"
        raise UserMistake(f"{path} is empty, so that anybody would be administrator", hint=hint)
    wanted = hashlib.sha256(token.encode()).digest()

    async def authenticate(credential: str) -> Caller | None:
        shown = hashlib.sha256(credential.encode()).digest()
        return Caller("administrator", admin=True) if hmac.compare_digest(shown, wanted) else None

    return authenticate


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


def _meant_for(token: str, audience: str) -> bool:
    """Whether a token says itself that it is a pod's, for us and still good: not trusted, it spares the API server
    the rest.

    Source: RFC 7519 (JSON Web Token).
    """
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN:
        return False
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(payload, type=_Claims)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return False
    of_pod = bool(claims.cluster.pod.uid) and claims.sub.startswith(
        f"system:serviceaccount:{claims.cluster.namespace}:"
    )
    return audience in claims.aud and claims.exp > time.time() and of_pod


class _User(Struct, frozen=True):
    username: str = ""
    extra: dict[str, list[str]] = {}


class _ReviewStatus(Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()


class _Review(Struct, frozen=True):
    status: _ReviewStatus = _ReviewStatus()


class PodTokens:
    """Authenticator for the runner: projected ServiceAccount tokens with audience `longshore`, bound to their pod.

    Source: Kubernetes API reference, authentication.k8s.io/v1 TokenReview; KEP-1205 (bound tokens).
    """

    REMEMBER_SECONDS = 60.0
    MOST = 4096
    # a stranger can write any number of tokens that look right; the API server is asked about so many of them
    REVIEWS_A_SECOND = 20.0
    BURST = 200.0
    AT_ONCE = 50

    def __init__(self, client: Client, audience: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._audience = audience
        self._clock = clock
        # those that are somebody's apart from those that are nobody's: strangers push out no pod
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._nobodys: OrderedDict[bytes, tuple[float, None]] = OrderedDict()
        self._reviews = 0  # on their way
        self._left, self._counted = self.BURST, clock()

    async def __call__(self, credential: str) -> Caller | None:
        if not _meant_for(credential, self._audience):
            return None
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._known.get(digest) or self._nobodys.get(digest)
        if known is not None and self._clock() - known[0] < self.REMEMBER_SECONDS:
            return known[1]
        self._allow(self._known.get(digest) is not None)
        self._reviews += 1
        try:
            caller = await self._review(credential)
        finally:
            self._reviews -= 1
        self._remember(digest, caller)
        return caller

    def _allow(self, was_somebodys: bool) -> None:
        """Whoever was known a minute ago is asked about in any case. Raises TooManyRequests."""
        now = self._clock()
        self._left = min(self.BURST, self._left + (now - self._counted) * self.REVIEWS_A_SECOND)
        self._counted = now
        if was_somebodys:
            return
        if self._left < 1 or self._reviews >= self.AT_ONCE:
            raise TooManyRequests(
                "too many unknown tokens are being looked up",
                hint="try again in a moment; pods that are known already are not kept waiting",
                retry_after=1,
            )
        self._left -= 1

    def _remember(self, digest: bytes, caller: Caller | None) -> None:
        self._known.pop(digest, None)
        self._nobodys.pop(digest, None)
        if caller is None:
            self._nobodys[digest] = (self._clock(), None)
        else:
            self._known[digest] = (self._clock(), caller)
        for each in (self._known, self._nobodys):
            while len(each) > self.MOST:
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
