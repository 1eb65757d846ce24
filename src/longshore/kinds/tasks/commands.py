"""What a caller may ask of tasks that run as Jobs: submit one, or the same one again by its donation."""

from __future__ import annotations

from longshore.errors import Conflict, UserMistake
from longshore.kinds.jobs import commands as jobs
from longshore.kinds.jobs.commands import Submitted
from longshore.kinds.jobs.find import find
from longshore.kinds.jobs.model import JobRequest, request_of
from longshore.kinds.kind import Services
from longshore.kinds.tasks import model
from longshore.kinds.tasks.model import Asked, Template
from longshore.kinds.tenants.model import Tenant
from longshore.web.auth import Caller

HEARTBEAT_RETRIES = 2


async def submit(parts: Services, who: Caller, tenant: Tenant, template: Template, asked: Asked, id: str) -> Submitted:
    """Create the task's Job, suspended, as `jobs.commands.submit` does. Raises what that raises.

    The same donation with the same parameters is the same task, also after the operator has changed the template.
    """
    if not template.image:
        raise UserMistake("TASK_TEMPLATE names no image, which a Job needs", hint="the operator adds one to it")
    request = model.job_request(template, asked, id, heartbeat_retries=HEARTBEAT_RETRIES)
    try:
        return await jobs.submit(parts, tenant, request, kind=model.KIND, id=id, idempotency_key=asked.donation_id)
    except Conflict:
        found = await find(parts, who, id)
        earlier = request_of(found.job) if found.job else found.record.request if found.record else None
        if not _asks_the_same(earlier, asked):
            raise
        return Submitted(id, created=False, job=found.job, record=found.record)


def _asks_the_same(earlier: JobRequest | None, asked: Asked) -> bool:
    return earlier is not None and earlier.extra.get(model.ASKED) == asked.digest()
