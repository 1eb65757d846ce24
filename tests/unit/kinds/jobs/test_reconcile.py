"""A job that is over is archived before it is let go; one that is deleted is stopped first."""

from datetime import UTC, datetime, timedelta

from longshore.kinds.jobs import model
from longshore.kinds.jobs.reconcile import ArchiveJob, HideEntry, PurgeJob, plan
from longshore.kinds.jobs.stop import hide_patch
from longshore.kube.objects import Condition, Job, JobStatus, ObjectMeta, Pod, PodStatus
from longshore.runtime.plan import DeleteObject, PatchObject, Plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(
    *conditions: Condition,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (model.FINALIZER,),
    hidden: str | None = None,
) -> Job:
    meta = ObjectMeta(
        name="j1",
        namespace="tenant-a",
        uid="u1",
        resource_version="9",
        finalizers=finalizers,
        annotations={model.ANNOTATION_HIDDEN: hidden} if hidden else {},
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


def kinds(planned: Plan) -> list[str]:
    return [type(action).__name__ for action in planned.actions]


def test_a_deleted_job_is_archived_then_hidden_and_only_then_let_go() -> None:
    planned = plan(job(COMPLETE, hidden=model.DELETED), [], NOW, ttl_seconds=60)
    assert kinds(planned) == ["ArchiveJob", "HideEntry", "PatchObject"]
    assert isinstance(planned.actions[1], HideEntry)


def test_a_purged_job_leaves_the_archive_before_the_object_whose_mark_asks_for_it() -> None:
    """Wherever this is cut off, what is left asks for the rest: the finalizer for all of it, the mark for the purge."""
    whole = plan(job(COMPLETE, hidden=model.PURGED), [], NOW, ttl_seconds=60)
    assert kinds(whole) == ["ArchiveJob", "HideEntry", "PatchObject", "PurgeJob", "DeleteObject"]
    released = plan(job(COMPLETE, hidden=model.PURGED, finalizers=()), [], NOW, ttl_seconds=60)
    assert kinds(released) == ["PurgeJob", "DeleteObject"]
    assert isinstance(released.actions[0], PurgeJob)
    going = plan(job(COMPLETE, hidden=model.PURGED, finalizers=(), deleting=True), [], NOW, ttl_seconds=60)
    assert kinds(going) == ["PurgeJob"]


def test_what_was_deleted_after_it_was_released_asks_for_nothing_more() -> None:
    assert plan(job(COMPLETE, hidden=model.DELETED, finalizers=()), [], NOW, ttl_seconds=60) == Plan()


def test_a_job_is_hidden_and_stopped_by_one_write_and_one_that_is_over_is_only_hidden() -> None:
    running = hide_patch(job(), NOW, "why", purge=False)
    assert running["metadata"]["annotations"] == {model.ANNOTATION_HIDDEN: model.DELETED}
    assert running["status"]["conditions"][0]["type"] == "FailureTarget"
    over = hide_patch(job(COMPLETE), NOW, "why", purge=True)
    assert over == {"metadata": {"uid": "u1", "annotations": {model.ANNOTATION_HIDDEN: model.PURGED}}}
    again = hide_patch(job(COMPLETE, hidden=model.PURGED), NOW, "why", purge=False)
    assert again["metadata"]["annotations"] == {model.ANNOTATION_HIDDEN: model.PURGED}
