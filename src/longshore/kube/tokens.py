"""Tokens of ServiceAccounts, short-lived and for one audience: how a pod or a caller shows who it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct

from longshore.kube.client import Client
from longshore.kube.objects import SERVICE_ACCOUNTS, Object


@dataclass(frozen=True)
class Token:
    """What goes behind `Authorization: Bearer`, kept out of the repr, and until when the API server takes it."""

    value: str = field(repr=False)
    expires: datetime


class _Status(Struct, frozen=True, rename="camel"):
    token: str
    expiration_timestamp: datetime


class _TokenRequest(Struct, frozen=True):
    status: _Status


_TOKENS = SERVICE_ACCOUNTS.read_as(_TokenRequest)


async def request(
    client: Client,
    account: str,
    namespace: str,
    *,
    audiences: Sequence[str] = (),
    expiration_seconds: int = 3600,
    pod: Object | None = None,
) -> Token:
    """A token of a ServiceAccount; without `audiences` it is for the API server itself.

    Where a `pod` is given the token is void once that pod is gone. The server may issue a longer or shorter life than
    asked for, of 10 min at least. Raises NotFound, Forbidden, UserMistake.
    Source: authentication.k8s.io/v1 TokenRequest; KEP-1205 "Bound Service Account Tokens".
    """
    meta = pod and pod.metadata
    bound = meta and {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid}
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": account},
        "spec": {"audiences": list(audiences), "expirationSeconds": expiration_seconds, "boundObjectRef": bound},
    }
    status = (await client.create(_TOKENS, body, namespace, subresource="token")).status
    return Token(status.token, status.expiration_timestamp)
