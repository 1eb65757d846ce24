"""The sidecar: reports progress while the user's container runs; when it has ended, sends what the job keeps.

Kubernetes ends a native sidecar with SIGTERM after the user's container has ended, and gives it the pod's grace period.
Run again it sends the same again, which the API takes: nothing here depends on what an earlier run did.
"""

import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from longshore.runner.environment import Environment, RunnerError
from longshore.runner.lines import JsonLines
from longshore.runner.outputs import Output, collect, open_output
from longshore.runner.parts import digests, send_in_parts
from longshore.runner.progress import Progress, SumoSummary
from longshore.runner.transfer import Api, Passing, Refused, job_path, one_line

# the pod's grace period leaves 600 s for this; the manifest needs its share of it
UPLOAD_SECONDS = 540.0
MANIFEST_SECONDS = 45.0
# larger files go in parts, which takes three requests more and goes on where it breaks
IN_ONE_PIECE = 8 * 1024 * 1024
# made when SIGTERM is listened for: a startup probe that asks for it keeps a short job from ending before that
READY_FILE = ".longshore-send"
PROGRESS_SECONDS = 1.0
PROGRESS_TIMEOUT = 5.0
_SLOWEST_PROGRESS = 30.0


class Manifest(NamedTuple):
    """What became of the outputs: `outputs` is complete, partial or missing, `why` says why not complete."""

    outputs: str
    why: str | None
    files: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """The body that the API takes."""
        return self._asdict()


def send(environment: Environment, api: Api, ended: Callable[[float], bool]) -> Manifest:
    """Report progress until `ended(seconds)` says that the user's container has; then send outputs and the manifest."""
    _say_ready(environment)
    report_progress(environment, api, ended)
    manifest = send_outputs(environment, api)
    api.post(job_path(environment.job, "outputs"), manifest.document(), deadline=api.clock() + MANIFEST_SECONDS)
    return manifest


def _say_ready(environment: Environment) -> None:
    try:
        (environment.workspace / READY_FILE).touch()
    except OSError as error:
        raise RunnerError(f"the workspace cannot be written: {error.strerror or error}") from None


def report_progress(environment: Environment, api: Api, ended: Callable[[float], bool]) -> None:
    """At most one report a second. The API being away costs reports, never the job: reports then grow rarer."""
    follower = _follower(environment)
    pause = ceiling = PROGRESS_SECONDS
    while not ended(pause):
        progress = follower.poll() if follower else None
        if progress is None:
            continue
        fault = _report(environment, api, progress)
        ceiling = PROGRESS_SECONDS if fault is None else min(_SLOWEST_PROGRESS, ceiling * 2)
        asked = fault.after if fault else 0.0
        pause = max(PROGRESS_SECONDS, asked, random.random() * ceiling)  # noqa: S311 - jitter, no secret
    # the end of the file was written just before the container ended, and the steps in it are worth showing
    if follower and (last := follower.poll()):
        _report(environment, api, last)


def _follower(environment: Environment) -> SumoSummary | JsonLines | None:
    wanted = environment.progress
    if wanted is None:
        return None
    if wanted.kind == "lines":
        return JsonLines(environment.workspace / wanted.path)
    if wanted.kind != "sumo-summary":
        say(f"progress of kind {wanted.kind!r} is not known to this runner; none is reported")
        return None
    return SumoSummary(environment.workspace / wanted.path, wanted.end)


def _report(environment: Environment, api: Api, progress: Progress) -> Passing | None:
    """Report once; answers the fault, for its Retry-After."""
    try:
        api.post_once(job_path(environment.job, "progress"), progress.document(), timeout=PROGRESS_TIMEOUT)
    except Passing as fault:
        say(f"progress not reported: {fault.message}")
        return fault
    except Refused as fault:
        say(f"progress not reported: {fault.message}")
        return Passing(fault.message, after=_SLOWEST_PROGRESS)
    return None


def send_outputs(environment: Environment, api: Api) -> Manifest:
    """Upload every output; one that cannot be sent is named in the manifest and does not hold back the others."""
    deadline = api.clock() + UPLOAD_SECONDS
    collected = collect(environment.workspace, environment.outputs)
    complaints = list(collected.complaints)
    sent = []
    for output in collected.files:
        try:
            sent.append(_upload(output, environment, api, deadline))
        except RunnerError as error:
            complaints.append(f"{output.name!r} could not be sent: {error.message}")
            say(complaints[-1])
    if not complaints:
        return Manifest("complete", None, tuple(sent))
    return Manifest("partial" if sent else "missing", one_line("; ".join(complaints), 1000), tuple(sent))


def _upload(output: Output, environment: Environment, api: Api, deadline: float) -> dict[str, Any]:
    try:
        with open_output(output) as source:
            of = digests(source)
            if of.size <= IN_ONE_PIECE:
                path = job_path(environment.job, "artifacts", output.name)
                api.upload(path, source, size=of.size, sha256=of.whole, deadline=deadline)
            else:
                send_in_parts(api, job_path(environment.job), output.name, source, of, deadline)
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror or error}") from None
    return {"name": output.name, "size": of.size, "sha256": of.whole}


def say(text: str) -> None:
    """One line to the container's log."""
    print(f"longshore-runner: {one_line(text)}", file=sys.stderr, flush=True)
