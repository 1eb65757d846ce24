"""What a caller may ask of simulations: submit a scenario, which is looked through before anything of it is kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from longshore.errors import UserMistake
from longshore.kinds.jobs import commands as jobs
from longshore.kinds.jobs.commands import Submitted
from longshore.kinds.kind import Services
from longshore.kinds.simulations import model, scenario
from longshore.kinds.simulations.model import SimulationInput, Upload
from longshore.kinds.tenants.model import Tenant
from longshore.web.auth import Caller
from longshore.web.uploads import read_form

CHUNK = 1 << 20
# unpacking is work for a core: more at once would only take the threads that others need
INSPECTIONS = asyncio.Semaphore(2)


class SimulationForm(BaseModel):
    """The fields of the form beside the file."""

    model_config = ConfigDict(extra="forbid")
    scenario_id: str = Field(min_length=1, max_length=100)
    cpu_request: int = Field(2, ge=1, le=32, description="Cores.")
    memory_gi: int = Field(4, ge=1, le=128, description="GiB of memory.")
    config: str | None = Field(None, max_length=500, description="The .sumocfg to run, where there are several.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    end: float | None = Field(None, gt=0, le=10**9, description="Simulated seconds.")
    options: list[Annotated[str, Field(max_length=500)]] = Field([], max_length=100)
    outputs: list[Annotated[str, Field(max_length=500)]] = Field([], max_length=100)

    def asked(self) -> SimulationInput:
        fields = self.model_dump(exclude={"options", "outputs"})
        return SimulationInput(**fields, options=tuple(self.options), outputs=tuple(self.outputs))


async def submit_form(
    parts: Services, who: Caller, request: Request, *, tenant: str | None, key: str | None
) -> tuple[Submitted, Upload]:
    """Take a multipart submission all the way. Raises what `submit` raises, and UserMistake for the form."""
    target = await jobs.tenant_for_work(parts, who, tenant)
    form = await read_form(request, max_bytes=parts.settings.upload_max_mb * 10**6)
    try:
        asked, upload = _read(form)
        return await submit(parts, target, asked, upload.file, key=key)
    finally:
        await form.close()


async def submit(
    parts: Services, tenant: Tenant, asked: SimulationInput, file: BinaryIO, *, key: str | None
) -> tuple[Submitted, Upload]:
    """Look through the scenario, keep it as an artifact, create the job. Raises BadUpload naming the entry at fault,
    UserMistake over the limits, Conflict for a key that was used for something else."""
    async with INSPECTIONS:
        upload = await asyncio.to_thread(inspect, file, asked, parts.settings.upload_max_mb * 10**6)

    async def keep(id: str) -> None:
        chunks = _chunks(file)
        await parts.archive.artifacts.put(
            tenant.metadata.name, id, "inputs", upload.artifact, chunks, sha256=upload.sha256
        )

    request = model.job_request(asked, upload, parts.settings.sumo_image)
    submitted = await jobs.submit(
        parts, tenant, request, kind=model.KIND, letter=model.LETTER, idempotency_key=key, prepare=keep
    )
    return submitted, upload


def inspect(file: BinaryIO, asked: SimulationInput, max_bytes: int) -> Upload:
    """What the scenario is, once it is found to be harmless; blocking, so called in a thread."""
    found = scenario.inspect(file, config=asked.config, max_bytes=max_bytes)
    end = asked.end if asked.end is not None else found.end
    return Upload(
        sha256=_sha256(file),
        config=found.config,
        end=end,
        command=scenario.command(found, seed=asked.seed, end=asked.end, options=asked.options, outputs=asked.outputs),
        outputs=scenario.kept(found, asked.outputs),
        folder=scenario.SCENARIO_FOLDER,
        progress_file=scenario.SUMMARY_FILE,
    )


def _read(form: FormData) -> tuple[SimulationInput, UploadFile]:
    file = form.get("sumo_files")
    if not isinstance(file, UploadFile):
        raise UserMistake("the form has no file", hint="send the ZIP as sumo_files", field="sumo_files")
    lists = ("options", "outputs")
    fields: dict[str, Any] = {k: v for k, v in form.items() if k != "sumo_files" and k not in lists}
    fields |= {k: form.getlist(k) for k in lists if k in form}
    try:
        return SimulationForm.model_validate(fields).asked(), file
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise UserMistake(f"{field}: {first['msg']}", hint="see /docs for the fields", field=field) from None


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(CHUNK):
        digest.update(block)
    return digest.hexdigest()


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while block := await asyncio.to_thread(file.read, CHUNK):
        yield block
