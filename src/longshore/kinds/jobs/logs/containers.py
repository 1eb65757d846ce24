"""What a pod says of its containers, as far as their logs are concerned; pure."""

from __future__ import annotations

from collections.abc import Iterable

from longshore.kinds.jobs import model
from longshore.kinds.jobs.request import JobRequest
from longshore.kube.objects import ContainerStatus, Pod

FETCH_CONTAINER = "longshore-fetch"
SEND_CONTAINER = "longshore-send"


def statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    return (*pod.status.init_container_statuses, *pod.status.container_statuses)


def of_request(request: JobRequest) -> list[str]:
    """The containers that `pod` makes of a request."""
    fetch = [FETCH_CONTAINER] if request.inputs else []
    return [model.MAIN_CONTAINER, *fetch, *([SEND_CONTAINER] if request.outputs or request.progress else [])]


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    return next((s for s in statuses(pod) if s.name == container), None)


def has_log(pod: Pod, container: str) -> bool:
    """Whether this container has started, so that there is something to read."""
    status = status_of(pod, container)
    return status is not None and bool(status.state.running or status.state.terminated or status.last_state.terminated)


def is_running(pod: Pod, container: str) -> bool:
    """Whether there may be more of its log."""
    status = status_of(pod, container)
    return status is not None and status.state.running is not None


def with_log(pods: Iterable[Pod]) -> list[tuple[Pod, str]]:
    """The containers that have started."""
    return [(pod, status.name) for pod in pods for status in statuses(pod) if has_log(pod, status.name)]


def told_by(streams: Iterable[str], container: str | None, index: int | None = None) -> list[str]:
    """The streams of one container in the order of attempts: the one asked for, or the one that tells the story: the
    user's, or the one that failed to fetch its inputs. Of an `index` only its own."""
    by_container: dict[str, list[str]] = {}
    for stream in sorted(s for s in streams if index is None or model.index_of(s) == index):
        by_container.setdefault(model.container_of(stream), []).append(stream)
    if container is not None:
        return by_container.get(container, [])
    return by_container.get(model.MAIN_CONTAINER) or by_container.get(FETCH_CONTAINER, [])
