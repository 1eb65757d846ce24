"""/v1/stream: jobs as they change, over a WebSocket or as server-sent events, and the tickets of pages."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from longshore.errors import Forbidden, UserMistake
from longshore.kinds.jobs import model
from longshore.kinds.jobs.stream.interest import Select, interest, resolve
from longshore.kinds.jobs.stream.news import Feed
from longshore.kinds.kind import Parts, Services
from longshore.kube.objects import Secret
from longshore.kube.store import Overflowed, Store
from longshore.web.answers import answer
from longshore.web.auth import Authentication, Caller, Who, credential_of
from longshore.web.stream.audience import Audience
from longshore.web.stream.events import EventStream
from longshore.web.stream.follow import Interest
from longshore.web.stream.messages import parse_position
from longshore.web.stream.socket import Stage, serve_socket
from longshore.web.stream.tickets import PURPOSE, TICKET_SECONDS, Tickets

router = APIRouter(prefix="/v1", tags=["stream"])
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=128)]


def stage(parts: Services, authentication: Authentication, feed: Feed) -> Stage:
    """What `serve` keeps for its streams, beside the feed."""

    async def resolved(who: Caller, text: bytes, known: str) -> Interest:
        return await resolve(parts, who, text, known)

    settings = parts.settings
    audience = Audience(
        authentication.recognise, most=settings.stream_connections, most_each=settings.stream_connections_each
    )
    return Stage(feed.hub, audience, Tickets(lambda: parts.relay.key_for(PURPOSE)), authentication.recognise, resolved)


async def heed_keys(keys: Store[Secret], audience: Audience) -> None:
    """Until cancelled: whoever came in with a key that is revoked goes at once, not at the next round."""
    while True:
        async with keys.subscribe() as changes:
            with suppress(Overflowed):
                while True:
                    await changes.next()
                    await audience.check()


class SocketEndpoint:
    """ASGI, without the frames that FastAPI would keep for each of ten thousand sockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve_socket(scope["app"].state.stage, scope, receive, send)


router.routes.append(WebSocketRoute("/v1/stream", SocketEndpoint()))


@router.post("/stream/ticket", status_code=201)
async def make_ticket(request: Request, who: Who) -> Response:
    """A ticket that opens one WebSocket within 30 seconds, for pages: as subprotocol `ticket.<it>`."""
    if who.pod is not None:
        raise Forbidden("a pod's token does not open the stream", hint="use a key of its tenant")
    shared: Stage = request.app.state.stage
    ticket = shared.tickets.issue(credential_of(request.headers) or "")
    return answer({"ticket": ticket, "expires_seconds": TICKET_SECONDS}, 201, headers={"Cache-Control": "no-store"})


@router.get("/stream")
async def follow_jobs(
    request: Request,
    who: Who,
    parts: Parts,
    tenant: str | None = None,
    kind: str | None = None,
    status: model.Status | None = None,
    name: str | None = None,
    tag: Annotated[list[str] | None, Query(max_length=20, description="key=value; each must be there.")] = None,
    limit: Annotated[int, Query(ge=0, le=500)] = 50,
    cursor: str | None = None,
    window: bool = False,
    last_event_id: LastEventId = None,
) -> Response:
    """Server-sent events of the jobs that this matches: a snapshot, then every change."""
    wanted = Select(None, tenant, kind, status, name, _tags(tag or ()), limit, cursor, window)
    return await _events(request, who, parts, wanted, last_event_id)


@router.get("/jobs/{id}/stream")
async def follow_job(id: str, request: Request, who: Who, parts: Parts, last_event_id: LastEventId = None) -> Response:
    """Server-sent events of one job: its record, then every change."""
    return await _events(request, who, parts, Select(job=id), last_event_id)


async def _events(request: Request, who: Caller, parts: Services, wanted: Select, last: str | None) -> Response:
    shared: Stage = request.app.state.stage
    after = parse_position(last)
    followed = await interest(parts, who, wanted, after.known if after else "")
    return EventStream(shared, who, credential_of(request.headers) or "", followed, after)


def _tags(given: list[str] | tuple[()]) -> dict[str, str]:
    tags = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise UserMistake(f"{each[:50]!r} is not a tag", hint="write it as key=value", field="tag")
        tags[key] = value
    return tags
