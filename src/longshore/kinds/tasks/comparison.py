"""How the same task went as a Job and as a process of the service, for who moves from one to the other; pure."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from longshore.kinds.tasks.model import Mode
from longshore.kinds.tasks.view import Word


class Run(Struct, frozen=True, kw_only=True):
    """One of the two. `output_sha256` is of all that it printed, None where not all of it is known."""

    status: Word
    reason: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    output: str = ""
    output_bytes: int = 0
    output_sha256: str | None = None

    @property
    def seconds(self) -> float | None:
        if self.started is None or self.finished is None:
            return None
        return round((self.finished - self.started).total_seconds(), 3)


class Outcome(Struct, frozen=True):
    kubernetes: str
    local: str
    same: bool


class Duration(Struct, frozen=True):
    """Seconds from start to end; `ratio` is the Job's over the process's. A Job's times are whole seconds."""

    kubernetes: float | None
    local: float | None
    ratio: float | None


class Printed(Struct, frozen=True):
    """Bytes and digests of the whole outputs; `first_difference` is in the part of both that was kept."""

    kubernetes_bytes: int
    local_bytes: int
    kubernetes_sha256: str | None
    local_sha256: str | None
    same: bool | None
    first_difference: str | None = None


class Comparison(Struct, frozen=True, kw_only=True):
    """`complete` once both have ended; `same` says whether outcome and output agree, None where that is not known."""

    task_id: str
    answered_by: Mode
    complete: bool
    same: bool | None
    outcome: Outcome
    duration: Duration
    output: Printed


def compare(id: str, answered_by: Mode, job: Run, process: Run) -> Comparison:
    complete = job.status not in UNDECIDED and process.status not in UNDECIDED
    outcome = Outcome(job.status, process.status, job.status is process.status)
    known = job.output_sha256 is not None and process.output_sha256 is not None
    same_output = job.output_sha256 == process.output_sha256 if complete and known else None
    agree = None if not complete or same_output is None else outcome.same and same_output
    return Comparison(
        task_id=id,
        answered_by=answered_by,
        complete=complete,
        same=False if complete and not outcome.same else agree,
        outcome=outcome,
        duration=Duration(job.seconds, process.seconds, _ratio(job.seconds, process.seconds)),
        output=Printed(
            job.output_bytes,
            process.output_bytes,
            job.output_sha256,
            process.output_sha256,
            same_output,
            _first_difference(job.output, process.output) if same_output is False else None,
        ),
    )


UNDECIDED = (Word.PENDING, Word.RUNNING, Word.ERROR)


def _ratio(job: float | None, process: float | None) -> float | None:
    return round(job / process, 3) if job is not None and process else None


def _first_difference(job: str, process: str) -> str | None:
    one, other = job.splitlines(), process.splitlines()
    for number in range(max(len(one), len(other))):
        left = one[number] if number < len(one) else None
        right = other[number] if number < len(other) else None
        if left != right:
            return f"line {number + 1}: {_shown(left)} in the Job, {_shown(right)} in the process"
    return None


def _shown(line: str | None) -> str:
    return "nothing" if line is None else repr(line[:200])
