"""Who asks: turns a request's credential into a Caller; knows no kind.

The composition root hands in the authenticators in order; each says who a credential belongs to, or that it is not one
of its own. What a Caller may do is decided by the routes, through the methods here.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from longshore.errors import Forbidden, LongshoreError, NotFound, Unauthenticated, UserMistake

AGAIN_SECONDS = 20.0
_KNOWN = "longshore.known"
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
    caller = await authentication.caller(connection.headers)
    connection.scope.setdefault("state", {})[_KNOWN] = True
    return caller


def is_known(scope: Mapping[str, Any]) -> bool:
    """Whether it was found out, and well, who sent this request; for the server that writes the answer."""
    return _KNOWN in scope.get("state", {})


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
