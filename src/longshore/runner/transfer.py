"""HTTP to longshore's API for `fetch` and `send`: streamed bodies, retries until a deadline, a token that may rotate.

The token is read from its file for every request and appears in no message.
"""

import http.client
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from longshore.runner.environment import RunnerError

T = TypeVar("T")
Receive = Callable[[http.client.HTTPResponse], T]

BLOCK = 256 * 1024
SOCKET_TIMEOUT = 60.0  # also for the answer to an upload, which waits for the object store
MAX_ATTEMPTS = 60
BACKOFF_BASE = 0.5
BACKOFF_CAP = 15.0
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
# the replica that answers may not have seen this pod or job yet, or the token was rotated this moment
_TRY_AGAIN_BRIEFLY = frozenset({401, 403, 404})
_BRIEFLY = 5
_MAX_PROBLEM_BYTES = 64 * 1024
_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


class Refused(RunnerError):
    """The API answered, and the same request would be refused again. `status`: of its answer, 0 without one."""

    def __init__(self, message: str, *, hint: str | None = None, status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Passing(RunnerError):
    """A fault that may pass, in `tries` tries: the API is away or busy, the connection broke.

    `after` is the server's Retry-After in seconds.
    """

    def __init__(self, message: str, *, hint: str | None = None, after: float = 0.0, tries: int = MAX_ATTEMPTS) -> None:
        super().__init__(message, hint=hint)
        self.after = after
        self.tries = tries


class Api:
    """The API as one pod sees it. `sleep`, `clock` and `jitter` (0..1) are given so that tests need not wait."""

    def __init__(
        self,
        base: str,
        token_file: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        url = urlsplit(base)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise RunnerError(f"LONGSHORE_API is no http(s) address: {base!r}")
        self._connection_type = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self._host, self._port, self._root = url.hostname, url.port, url.path.rstrip("/")
        self._token_file = token_file
        self._sleep, self.clock, self._jitter = sleep, clock, jitter

    def pull(self, url: str, start: int, take: Callable[[bytes], None]) -> None:
        """GET from byte `start` on, one try: `take` is handed what comes, as it comes. Raises Passing or Refused."""

        def receive(response: http.client.HTTPResponse) -> None:
            skip = start if response.status != 206 else 0  # a server need not know of ranges
            while block := response.read1(BLOCK):  # read() would drop what came before a break
                if len(block) > skip:
                    take(block[skip:])
                skip = max(0, skip - len(block))
            if response.length:  # what was announced and has not come; read() with a size does not say so
                raise Passing(f"the connection broke, {response.length} bytes are missing")

        self._once("GET", url, receive, {"Range": f"bytes={start}-"} if start else None)

    def push(self, url: str, source: BinaryIO, offset: int, size: int, sha256: str) -> None:
        """PUT `size` bytes of the seekable `source` from `offset` on, one try. Raises Passing or Refused."""
        source.seek(offset)
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        own = {"X-Content-SHA256": sha256} if url.startswith("/") else {}
        self._once("PUT", url, _ignore, headers | own, blocks(source, size))

    def ask(self, path: str, document: Mapping[str, Any] | None = None, *, timeout: float = SOCKET_TIMEOUT) -> Any:
        """What the API answers in JSON to a POST of `document`, or to a GET; one try. Raises Passing or Refused."""
        if document is None:
            return self._once("GET", path, _document, None, None, timeout)
        body = json.dumps(document).encode()
        headers = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        return self._once("POST", path, _document, headers, iter((body,)), timeout)

    def upload(self, path: str, source: BinaryIO, *, size: int, sha256: str, deadline: float) -> None:
        """PUT the first `size` bytes of the seekable `source`, streamed."""
        self.until(deadline, lambda: self.push(path, source, 0, size, sha256))

    def post(self, path: str, document: Mapping[str, Any], *, deadline: float) -> None:
        """POST a JSON document, again and again until the deadline."""
        self.until(deadline, lambda: self.post_once(path, document))

    def post_once(self, path: str, document: Mapping[str, Any], *, timeout: float = SOCKET_TIMEOUT) -> None:
        """POST a JSON document, one try; raises Passing or Refused."""
        body = json.dumps(document).encode()
        headers = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        self._once("POST", path, _ignore, headers, iter((body,)), timeout)

    def until(self, deadline: float, attempt: Callable[[], T]) -> T:
        """Try until it succeeds, is refused, or the deadline has come: then Refused too."""
        for number in range(MAX_ATTEMPTS):
            try:
                return attempt()
            except Passing as fault:
                # full jitter, but never sooner than the server asked for
                ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(number, 10))
                delay = max(fault.after, self._jitter() * ceiling)
                if number + 1 >= fault.tries or self.clock() + delay > deadline:
                    raise Refused(f"{fault.message} (gave up after {number + 1} tries)", hint=fault.hint) from None
                self._sleep(delay)
        raise AssertionError("unreachable: the last attempt raises")

    def _once(
        self,
        method: str,
        path: str,
        receive: Receive[T],
        headers: Mapping[str, str] | None = None,
        body: Iterator[bytes] | None = None,
        timeout: float = SOCKET_TIMEOUT,
    ) -> T:
        """One request: to a path of the API with the token, to any other URL without it."""
        sent = {"User-Agent": "longshore-runner", **(headers or {})}
        if path.startswith("/"):
            who, host, port, target = "the API", self._host, self._port, self._root + path
            sent["Authorization"] = f"Bearer {self._token()}"
            connection = self._connection_type(host, port, timeout=timeout)
        else:
            url = urlsplit(path)
            who, host, port, target = "the store", url.hostname or "", url.port, f"{url.path}?{url.query}"
            secure = url.scheme == "https"
            connection = (HTTPSConnection if secure else HTTPConnection)(host, port, timeout=timeout)
        try:
            try:
                connection.request(method, target, body=body, headers=sent)
            except (BrokenPipeError, ConnectionResetError):
                # a server may answer and hang up before it has read the body (413): that answer says more
                if connection.sock is None:
                    raise
            response = connection.getresponse()
            if response.status >= 300:
                raise _problem(response, who)
            return receive(response)
        except (OSError, http.client.HTTPException) as fault:
            where = f"{host}:{port}" if port else host
            raise Passing(
                f"{who} at {where} cannot be reached: {fault or type(fault).__name__}",
                hint="is it running, and may pods connect to it?",
            ) from None
        finally:
            connection.close()

    def _token(self) -> str:
        hint = "is the projected ServiceAccount token mounted into this container?"
        try:
            words = self._token_file.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"the token file cannot be read: {type(error).__name__}", hint=hint) from None
        if len(words) != 1:  # http.client would refuse it as a header, and quote it
            raise Refused(f"the token file has {len(words)} words, expected one", hint=hint)
        return words[0]


def job_path(job: str, *parts: str) -> str:
    """The path of a job's resource; a name keeps its slashes, everything else in it is quoted."""
    return "/v1/jobs/" + "/".join(quote(part, safe="/") for part in (job, *parts))


def blocks(source: BinaryIO, size: int) -> Iterator[bytes]:
    """At most `size` bytes of `source`, so that a file which still grows does not break the message's length."""
    while size > 0 and (block := source.read(min(BLOCK, size))):
        size -= len(block)
        yield block


def _ignore(response: http.client.HTTPResponse) -> None:
    response.read(_MAX_PROBLEM_BYTES)


def _document(response: http.client.HTTPResponse) -> Any:
    try:
        return json.loads(response.read(_MAX_DOCUMENT_BYTES) or b"null")
    except ValueError:
        raise Passing("the API's answer is not JSON", hint="does LONGSHORE_API name longshore's own address?") from None


def _problem(response: http.client.HTTPResponse, who: str) -> RunnerError:
    """The error that an answer stands for, in the words of its problem document (RFC 9457) if it has one. What a store
    answers can quote a signed URL, so of that only the status line is told."""
    text, hint = response.reason, None
    try:
        document = json.loads(response.read(_MAX_PROBLEM_BYTES))
        text = str(document.get("detail") or document.get("title") or text)
        hint = document.get("hint")
    except (ValueError, AttributeError, http.client.HTTPException):
        pass  # not a problem document: the status line is what there is
    message = f"{who} answered {response.status}: {one_line(text)}"
    hint = one_line(str(hint)) if hint else None
    if response.status in _TRY_AGAIN:
        return Passing(message, hint=hint, after=retry_after(response.getheader("Retry-After"), datetime.now(UTC)))
    if response.status in _TRY_AGAIN_BRIEFLY:
        return Passing(message, hint=hint, tries=_BRIEFLY)
    return Refused(message, hint=hint, status=response.status)


def one_line(text: str, limit: int = 300) -> str:
    """The text on one line, cut to `limit` characters: termination messages and logs show lines."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def retry_after(value: str | None, now: datetime) -> float:
    """Seconds to wait by a Retry-After header, 0 without one. Both its forms: RFC 9110, 10.2.3."""
    if not value:
        return 0.0
    if value.isascii() and value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
