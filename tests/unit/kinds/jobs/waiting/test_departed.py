"""How pods were that are gone, for as long as their job is not archived."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.kinds.workloads import job

from longshore.kinds.jobs import model
from longshore.kinds.jobs.waiting import departed
from longshore.kinds.jobs.waiting.departed import Departed
from longshore.kube.objects import JOBS, Condition, Job, ObjectMeta, OwnerReference, Pod, PodStatus
from longshore.kube.store import Store, Writer


def pod(of: Job, name: str = "p", phase: str = "Running") -> Pod:
    owner = OwnerReference(kind="Job", name=of.metadata.name, uid=of.metadata.uid, controller=True)
    labels = {model.LABEL_TENANT: "a", model.LABEL_JOB_NAME: of.metadata.name}
    meta = ObjectMeta(name=name, namespace="tenant-a", uid=name, labels=labels, owner_references=(owner,))
    return Pod(meta, status=PodStatus(phase))


def memory(*jobs: Job) -> Departed:
    store = Store(JOBS)
    Writer(store).replace(jobs, 1)
    return Departed(store)


def test_those_that_are_gone_are_told_beside_those_that_are_there_and_run_no_more() -> None:
    one = job()
    gone = memory(one)
    gone.went(pod(one))
    gone.went(pod(one, "q", "Failed"))
    found = gone.beside(one, [pod(one, "r"), pod(one, "q", "Failed")])
    assert [(each.metadata.name, each.status.phase) for each in found] == [
        ("r", "Running"),
        ("q", "Failed"),
        ("p", "Unknown"),
    ]
    gone.forget(one)
    assert gone.beside(one, []) == []


def test_of_what_is_archived_another_or_nobodys_nothing_is_kept() -> None:
    one = job()
    archived = job(Condition("Complete", "True"), finalizers=())
    for jobs in ((archived,), (job(uid="another"),), ()):
        gone = memory(*jobs)
        gone.went(pod(one))
        assert gone.beside(one, []) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departed, "MOST", 4)
    monkeypatch.setattr(departed, "MOST_OF_ONE", 2)
    jobs: Any = [job(name=f"j{n}", uid=f"u{n}") for n in range(3)]
    gone = memory(*jobs)
    for one in jobs:
        for name in ("a", "b", "c"):
            gone.went(pod(one, name))
    assert [len(gone.beside(one, [])) for one in jobs] == [0, 2, 2]
    gone.forget(jobs[1])
    gone.went(pod(jobs[0]))
    assert [len(gone.beside(one, [])) for one in jobs] == [1, 0, 2], "what is forgotten makes room"
