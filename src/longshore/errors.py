"""What can go wrong, in the caller's terms: each error says what happened and, in `hint`, what to do next.

Every layer raises these; `web.problems` is the one table that maps them to HTTP, `cli` prints message and hint.
"""


class LongshoreError(Exception):
    """Anything that longshore refuses or cannot do.

    `message` is one sentence for a person, `hint` says what to do next. Neither may hold a credential. `request_id`
    finds the request that failed in the API server's audit log, where there was one.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.request_id: str | None = None
        if hint:
            self.add_note(f"hint: {hint}")  # for whoever sees no more than the traceback


class UserMistake(LongshoreError):
    """The request itself is wrong; the same request will be refused again. `field` names the culprit where one is."""

    def __init__(self, message: str, *, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class BadUpload(UserMistake):
    """An uploaded file cannot be used: not what it says it is, damaged, or hostile."""


class TooLarge(UserMistake):
    """More bytes than are taken here."""


class NotAcceptable(UserMistake):
    """The answer is asked for in a form that it does not have."""


class TooSlow(LongshoreError):
    """The rest of a request took longer to come than is waited for."""


class Unauthenticated(LongshoreError):
    """Nobody knows who asks: no credential, or a wrong one."""


class Forbidden(LongshoreError):
    """The caller is known and may not do this."""


class NotFound(LongshoreError):
    """There is no such thing, or it is another tenant's, which looks the same on purpose."""


class Conflict(LongshoreError):
    """The thing is no longer what the caller thought: read again, decide again (HTTP 409)."""


class AlreadyExists(Conflict):
    """The name is taken."""


class Gone(LongshoreError):
    """A resourceVersion or continue token is too old to go on from: list again (HTTP 410)."""


class TooManyRequests(LongshoreError):
    """Slow down. `retry_after` is in seconds."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class EvictionRefused(TooManyRequests):
    """A PodDisruptionBudget keeps the pod where it is for now. That is no throttling: it may last for hours."""


class Unavailable(LongshoreError):
    """Something that longshore needs is away for now. `retry_after` is in seconds."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Retry(LongshoreError):
    """A reconcile wants to be called again in `after` seconds; not a fault."""

    def __init__(self, message: str, *, after: float) -> None:
        super().__init__(message)
        self.after = after


class Terminal(LongshoreError):
    """Trying again cannot help until the object itself changes."""
