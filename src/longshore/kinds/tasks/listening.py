"""Who listens for a socket: to one Job, or to the tasks that it subscribed to, by whatever way news come.

News come from the watch of Jobs, from the bus, and from a look now and then; each makes the listener look at what is so
now, so that none of them has to be complete. `sockets` makes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from longshore.errors import LongshoreError
from longshore.kinds.jobs.find import progress_topic
from longshore.kinds.tasks.desk import TaskDesk
from longshore.kinds.tasks.model import task_topic
from longshore.kinds.tasks.outbox import Outbox
from longshore.kinds.tasks.view import TaskStatus, Word
from longshore.kinds.tasks.watching import Listener, key_of
from longshore.runtime.bus import Offered
from longshore.web.auth import Caller

MOST_TASKS = 1000


class Heard(Listener, Offered, Protocol):
    """Who hears of a task by whatever way there is."""

    def again(self) -> None: ...


@contextmanager
def heard(desk: TaskDesk, who: Caller, name: str, namespace: str | None, listener: Heard) -> Iterator[None]:
    """Within, the listener is told of this task or Job. Raises Forbidden for a namespace that is not the caller's."""
    key = key_of(desk.jobs.namespace_for(who, name, namespace), name) if desk.jobs is not None else ""
    topic = task_topic(name)
    if desk.jobs is not None:
        desk.jobs.watching.add(key, listener)
    desk.bus.join(topic, listener)
    desk.followed(name, listener)
    try:
        yield
    finally:
        desk.unfollowed(name, listener)
        desk.bus.leave(topic, listener)
        if desk.jobs is not None:
            desk.jobs.watching.remove(key, listener)


class StatusListener:
    """What a socket of one Job is told: its status when that changes, and errors meanwhile."""

    def __init__(self, outbox: Outbox, look: Callable[[], Awaitable[TaskStatus]]) -> None:
        self._outbox = outbox
        self._look = look
        self._told: Word | None = None
        self._asking: asyncio.Task[None] | None = None

    async def ask(self) -> None:
        """Tell what is so now, wherever that is known: the store, the archive, nowhere."""
        try:
            present = await self._look()
        except LongshoreError as error:
            self.trouble(error.message)
            return
        if present.status is Word.ERROR:
            self.trouble(present.message)
        else:
            self._tell(present)

    def status(self, status: TaskStatus | None) -> None:
        if status is None:
            self._ask_soon()  # its object has gone: the archive knows how it ended
        elif self._told is not Word.ERROR:
            self._tell(status)

    def trouble(self, why: str | None) -> None:
        if why is None:
            self._told = None
            self._ask_soon()
        elif self._told is not Word.ERROR:
            self._told = Word.ERROR
            self._outbox.put("status", {"status": Word.ERROR, "message": why})

    def offer(self, _topic: str, _value: Any) -> None:
        """From the bus: a task that a service runs has changed."""
        self._ask_soon()

    def again(self) -> None:
        """News may have been missed: the link to the replica that runs it is down."""
        self._ask_soon()

    async def end(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _ask_soon(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.ask())

    def _tell(self, status: TaskStatus) -> None:
        if status.status is self._told:
            return
        self._told = status.status
        self._outbox.put("status", status.news())
        if status.status.final or status.status is Word.NOT_FOUND:
            self._outbox.close()


class TaskListener:
    """What a socket is told of one task that it subscribed to: its status and how far it is."""

    def __init__(self, outbox: Outbox, id: str, look: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._outbox = outbox
        self._id = id
        self._look = look
        self._told: dict[str, Any] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._news = False

    async def ask(self) -> None:
        """Tell what is so now, where that is something new; raises NotFound."""
        data = await self._look()
        if data != self._told:
            self._told = data
            self._outbox.put(self._id, {"type": "task_update", "task_id": self._id, "data": data})

    def status(self, _status: TaskStatus | None) -> None:
        self.again()

    def trouble(self, why: str | None) -> None:
        if why is None:
            self.again()
        else:
            self._told = {"status": Word.ERROR, "message": why}
            self._outbox.put(self._id, {"type": "task_update", "task_id": self._id, "data": self._told})

    def offer(self, _topic: str, _value: Any) -> None:
        """From the bus: it got on, or a service that runs it says that it changed."""
        self.again()

    def again(self) -> None:
        """Look once more; however much happens meanwhile, it is one look at a time."""
        self._news = True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_while_there_is_news())

    async def end(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask_while_there_is_news(self) -> None:
        while self._news:
            self._news = False
            try:
                await self.ask()
            except LongshoreError as error:
                data = {"status": Word.ERROR, "message": error.message}
                self._outbox.put(self._id, {"type": "task_update", "task_id": self._id, "data": data})


class Subscriptions:
    """The tasks that one socket of /ws/tasks follows."""

    def __init__(self, desk: TaskDesk, who: Caller, outbox: Outbox) -> None:
        self._desk, self._who, self._outbox = desk, who, outbox
        self._open: dict[str, AsyncExitStack] = {}

    async def answer(self, text: str) -> None:
        """Do what a message asks for, and say so."""
        try:
            message = _message_decoder.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self._refuse(None, 'send {"type": "subscribe"|"unsubscribe"|"ping", "task_id": "..."}')
            return
        if message.type == "ping":
            self._outbox.put("pong", {"type": "pong"})
        elif message.type == "unsubscribe":
            await self._close(message.task_id)
            self._outbox.put(f"-{message.task_id}", {"type": "unsubscribed", "task_id": message.task_id})
        else:
            await self._subscribe(message.task_id)

    async def _subscribe(self, id: str) -> None:
        if id not in self._open and len(self._open) >= MOST_TASKS:
            self._refuse(id, f"a socket follows at most {MOST_TASKS} tasks")
            return
        try:
            present = await self._desk.task(self._who, id)
        except LongshoreError as error:
            self._refuse(id, error.message)
            return
        await self._close(id)
        self._outbox.put(f"+{id}", {"type": "subscribed", "task_id": id})
        self._outbox.put(id, {"type": "task_update", "task_id": id, "data": present.update()})
        self._open[id] = await self._listening(id)

    async def _listening(self, id: str) -> AsyncExitStack:
        async def look() -> dict[str, Any]:
            return (await self._desk.task(self._who, id)).update()

        listener = TaskListener(self._outbox, id, look)
        stack = AsyncExitStack()
        stack.push_async_callback(listener.end)
        stack.enter_context(heard(self._desk, self._who, id, None, listener))
        self._desk.bus.join(progress_topic(id), listener)
        stack.callback(self._desk.bus.leave, progress_topic(id), listener)
        listener.again()  # for what changed since it was looked up
        return stack

    async def _close(self, id: str) -> None:
        stack = self._open.pop(id, None)
        if stack is not None:
            await stack.aclose()

    async def close(self) -> None:
        for id in tuple(self._open):
            await self._close(id)

    def _refuse(self, id: str | None, why: str) -> None:
        self._outbox.put(f"!{id}", {"type": "error", "task_id": id, "message": why})


class Message(Struct, frozen=True):
    """What a client of /ws/tasks says."""

    type: Literal["subscribe", "unsubscribe", "ping"]
    task_id: Annotated[str, Meta(max_length=300)] = ""


_message_decoder = msgspec.json.Decoder(Message)
