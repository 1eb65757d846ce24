"""What a caller sees of a simulation beyond the job that it is; pure."""

from __future__ import annotations

import msgspec

from longshore.kinds.jobs.model import Status
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.simulations.results import error_line


def explain(record: JobRecord) -> JobRecord:
    """A failed run says what SUMO itself said, and what to do about it."""
    links = {**record.links, "results": f"/v1/simulations/{record.id}/results"}
    links["summary"] = f"/v1/simulations/{record.id}/summary"
    record = msgspec.structs.replace(record, links=links)
    if record.status is not Status.FAILED or not record.log_tail:
        return record
    said = error_line(record.log_tail)
    if said is None:
        return record
    return msgspec.structs.replace(
        record,
        reason="ScenarioRejected" if record.exit_code == 1 else record.reason,
        message=f"SUMO says: {said}",
        hint="run the scenario with sumo on your own machine, mend it, and submit it again",
    )
