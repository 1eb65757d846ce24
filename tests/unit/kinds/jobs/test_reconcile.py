"""A job that is over is archived before it is let go; one that is deleted is stopped first."""

from datetime import UTC, datetime, timedelta

from longshore.kinds.jobs import model
from longshore.kinds.jobs.reconcile import ArchiveJob, plan
from longshore.kube.objects import Condition, Job, JobStatus, ObjectMeta, Pod, PodStatus
from longshore.runtime.plan import DeleteObject, PatchObject, Plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(*conditions: Condition, deleting: bool = False, finalizers: tuple[str, ...] = (model.FINALIZER,)) -> Job:
    meta = ObjectMeta(
        name="j1",
        namespace="tenant-a",
        uid="u1",
        resource_version="9",
        finalizers=finalizers,
        deletion_timestamp=NOW if deleting else None,
    )
    return Job(metadata=meta, status=JobStatus(conditions=conditions))


def pod(phase: str, grace: int | None = None) -> Pod:
    meta = ObjectMeta(
        name="p1",
        namespace="tenant-a",
        uid="pu",
        deletion_grace_period_seconds=grace,
        deletion_timestamp=NOW if grace else None,
    )
    return Pod(metadata=meta, status=PodStatus(phase=phase))


COMPLETE = Condition("Complete", "True", last_transition_time=NOW)
STOPPING = Condition("FailureTarget", "True", reason="Stopped")


def test_a_running_job_is_left_alone() -> None:
    assert plan(job(), [pod("Running")], NOW, ttl_seconds=60) == Plan()


def test_archiving_comes_before_the_finalizer_goes_and_the_ttl_starts_with_it() -> None:
    finished = job(COMPLETE, finalizers=("other/one", model.FINALIZER))
    archive, release = plan(finished, [pod("Succeeded")], NOW, ttl_seconds=60).actions
    assert isinstance(archive, ArchiveJob)
    assert isinstance(release, PatchObject)
    assert release.patch == {"metadata": {"finalizers": ["other/one"]}, "spec": {"ttlSecondsAfterFinished": 60}}
    assert (release.uid, release.resource_version) == ("u1", "9")


def test_what_is_released_is_not_archived_again() -> None:
    assert plan(job(COMPLETE, finalizers=()), [], NOW, ttl_seconds=60) == Plan()


def test_a_pod_that_has_not_settled_is_waited_for_but_not_for_ever() -> None:
    waiting = plan(job(COMPLETE), [pod("Running")], NOW, ttl_seconds=60)
    assert waiting.actions == ()
    assert waiting.requeue_after
    later = plan(job(COMPLETE), [pod("Running")], NOW + timedelta(minutes=10), ttl_seconds=60)
    assert isinstance(later.actions[0], ArchiveJob)


def test_a_job_that_is_deleted_is_stopped_first_and_only_once() -> None:
    (stop,) = plan(job(deleting=True), [pod("Running")], NOW, ttl_seconds=60).actions
    assert isinstance(stop, PatchObject)
    assert stop.subresource == "status"
    assert stop.patch["status"]["conditions"][0]["type"] == "FailureTarget"
    assert plan(job(STOPPING, deleting=True), [pod("Running")], NOW, ttl_seconds=60) == Plan()


def test_the_long_grace_of_a_stopped_pod_is_shortened_once() -> None:
    (hurry,) = plan(job(STOPPING), [pod("Running", grace=630)], NOW, ttl_seconds=60).actions
    assert isinstance(hurry, DeleteObject)
    assert hurry.grace_period_seconds == 60
    assert plan(job(STOPPING), [pod("Running", grace=60)], NOW, ttl_seconds=60) == Plan()


def test_what_is_gone_needs_nothing() -> None:
    assert plan(None, [], NOW, ttl_seconds=60) == Plan()
