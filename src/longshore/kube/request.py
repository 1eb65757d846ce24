"""One request to the API server, as `kube.client` writes it and `kube.transport` sends it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import uuid4

from msgspec import Struct, field

from longshore.errors import LongshoreError, UserMistake


class Request(Struct, frozen=True):
    """`path` is quoted already; `body` is what goes on the wire.

    `id` is sent as Audit-ID: the API server writes it into its audit log. It stays the same when the request is tried
    again, so that whoever has the id of an error finds every attempt, the last of which may have been carried out.
    """

    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = {}
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def what(self) -> str:
        """How errors name this request."""
        return f"{self.method} {self.path}"

    def __repr__(self) -> str:
        """Without the body, which may be a Secret."""
        return f"Request({self.what})"

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Errors raised within say that it was this request."""
        try:
            yield
        except LongshoreError as error:
            error.request_id = error.request_id or self.id
            raise


def segment(part: str) -> str:
    """One part of a path. Names never hold these, so a caller's text cannot reach another object's URL."""
    if part in ("", ".", "..") or "/" in part or "%" in part:
        raise UserMistake(f"{part!r} cannot be a name", hint="names have no slash and no percent sign")
    return quote(part, safe=":")


def query(**values: str | int | bool | datetime | None) -> dict[str, str]:
    """Parameters as the API server reads them, without those that are None. Times are cut to whole seconds."""
    return {key: _text(value) for key, value in values.items() if value is not None}


def _text(value: str | int | bool | datetime) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(value).lower() if isinstance(value, bool) else str(value)
