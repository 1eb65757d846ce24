"""What the routes of the stream answer, for the API's document; the WebSocket's messages are in docs/stream.md."""

from __future__ import annotations

from typing import Final

from longshore.kinds.jobs.openapi import ID
from longshore.web.openapi import Answer, Operation, Operations

_TICKET: Final = {
    "type": "object",
    "required": ["ticket", "expires_seconds"],
    "properties": {"ticket": {"type": "string"}, "expires_seconds": {"type": "number"}},
}
_EXAMPLE: Final = f'id: 0f1e2d3c4b5a-7\ndata: {{"type":"gone","seq":7,"id":"{ID}","archived":true}}\n\n'
_EVENTS: Final = Answer(
    schema={"type": "string"},
    example=_EXAMPLE,
    media="text/event-stream",
    says="Events, for as long as you listen.",
)

WORDS: Final = {
    "window": "Only the rows of this page, and a hint when the list has become another.",
    "Last-Event-ID": "The id of the last event that was read: what was missed since then comes first.",
}
OPERATIONS: Final[Operations] = {
    "POST /v1/stream/ticket": Operation(
        answers={201: Answer(schema=_TICKET, example={"ticket": "3q2-7w", "expires_seconds": 30.0}, says="A ticket.")}
    ),
    "GET /v1/stream": Operation(answers={200: _EVENTS}, problems=(404, 410, 429)),
    "GET /v1/jobs/{id}/stream": Operation(answers={200: _EVENTS}, problems=(429,)),
}
