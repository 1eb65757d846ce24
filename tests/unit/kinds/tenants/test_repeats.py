"""What was looked up in the archive before a first start is not looked up again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.errors import Unavailable
from longshore.kinds.jobs import model
from longshore.kinds.tenants.admit import LookUp
from longshore.kinds.tenants.repeats import Repeats
from longshore.kube.objects import Job, ObjectMeta


class Away(Objects):
    """An archive that goes."""

    away = False

    async def get(self, path: str) -> bytes:
        if self.away:
            raise Unavailable("the archive is away")
        return await super().get(path)


def job(uid: str) -> Job:
    return Job(ObjectMeta(name="j", namespace="tenant-acme", uid=uid, labels={model.LABEL_TENANT: "acme"}))


async def test_what_was_asked_once_for_a_job_is_known(tmp_path: Path) -> None:
    objects = Away(f"file://{tmp_path}")
    parts: Any = SimpleNamespace(archive=SimpleNamespace(records=Records(objects)))
    look_up = Repeats(parts)
    await look_up(LookUp((job("one"),)))
    objects.away = True
    await look_up(LookUp((job("one"),)))
    with pytest.raises(Unavailable):
        await look_up(LookUp((job("one"), job("another"))))


async def test_a_record_of_the_job_itself_is_no_earlier_one(tmp_path: Path) -> None:
    records = Records(Away(f"file://{tmp_path}"))
    await records.put("acme", "j", b'{"uid": "one"}')
    parts: Any = SimpleNamespace(archive=SimpleNamespace(records=records))
    await Repeats(parts)(LookUp((job("one"),)))
