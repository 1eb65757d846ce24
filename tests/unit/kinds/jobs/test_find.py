"""A record says of a job that is over how it ended, also where the watch of Jobs is ahead of that of pods."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.kinds import workloads

from longshore.kinds.jobs import find, model
from longshore.kinds.jobs.find import Found, full_record
from longshore.kinds.kind import Services
from longshore.kube.objects import Condition, Job, OwnerReference, Pod
from longshore.kube.store import Writer
from longshore.services import empty_stores


def over(reason: str) -> Job:
    failed = Condition(type="Failed", status="True", reason=reason, last_transition_time=workloads.at(0))
    return workloads.job(failed, failed=1)


def pod_of(job: Job) -> Pod:
    pod, meta = workloads.pod("Failed", workloads.ended(3)), job.metadata
    owner = OwnerReference(kind="Job", name=meta.name, uid=meta.uid, controller=True)
    labels = {model.LABEL_JOB_NAME: meta.name, model.LABEL_TENANT: meta.labels[model.LABEL_TENANT]}
    metadata = replace(pod.metadata, uid="u-p", resource_version="3", labels=labels, owner_references=(owner,))
    return replace(pod, metadata=metadata)


def parts_with(job: Job, folder: Path, seconds_later: float = 0) -> tuple[Services, Writer[Pod]]:
    stores = empty_stores()
    Writer(stores.jobs).replace([job], 5)
    pods = Writer(stores.pods)
    pods.replace([], 2)
    return workloads.parts_of(folder, lambda: workloads.at(seconds_later), stores), pods


def found(job: Job) -> Found:
    return Found(job.metadata.name, "a", job)


async def test_how_a_job_ended_is_waited_for_where_its_pod_is_told_later(tmp_path: Path) -> None:
    job = over("BackoffLimitExceeded")
    parts, pods = parts_with(job, tmp_path)
    reading = asyncio.ensure_future(full_record(parts, found(job)))
    await asyncio.wait([reading], timeout=3 * find.LOOK_SECONDS)
    assert not reading.done()
    pods.put(pod_of(job))
    record = await reading
    assert (record.status, record.reason, record.exit_code) == (model.Status.FAILED, "Error", 3)


@pytest.mark.parametrize(("reason", "seconds_later"), [("Stopped", 0), ("BackoffLimitExceeded", 60)])
async def test_ends_that_nobody_will_tell_any_more_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, seconds_later: float
) -> None:
    monkeypatch.setattr(find, "LOOK_SECONDS", 1_000.0)
    job = over(reason)
    parts, _ = parts_with(job, tmp_path, seconds_later)
    async with asyncio.timeout(60):
        record = await full_record(parts, found(job))
    assert record.exit_code is None


@pytest.mark.parametrize("goes", [{"phase": "Unknown"}, {"phase": "Running", "deleted": True}])
async def test_a_pod_that_goes_without_having_said_how_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes: dict[str, Any]
) -> None:
    monkeypatch.setattr(find, "LOOK_SECONDS", 1_000.0)
    job = over("BackoffLimitExceeded")
    pod = pod_of(job)
    deleted = workloads.at(0) if goes.get("deleted") else None
    meta, status = replace(pod.metadata, deletion_timestamp=deleted), replace(pod.status, phase=goes["phase"])
    parts, pods = parts_with(job, tmp_path)
    pods.put(replace(pod, metadata=meta, status=status))
    async with asyncio.timeout(60):
        assert (await full_record(parts, found(job))).status == model.Status.FAILED


async def test_who_follows_a_job_is_not_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "LOOK_SECONDS", 1_000.0)
    job = over("BackoffLimitExceeded")
    parts, _ = parts_with(job, tmp_path)
    async with asyncio.timeout(60):
        assert (await full_record(parts, found(job), patient=False)).exit_code is None


async def test_an_end_that_does_not_come_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "LATE_SECONDS", 0.1)
    job = over("BackoffLimitExceeded")
    parts, _ = parts_with(job, tmp_path)
    assert (await full_record(parts, found(job))).reason == "BackoffLimitExceeded"
