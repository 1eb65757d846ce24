"""docs/jobs.md names every field that may be asked of a job, and no other."""

import re
from pathlib import Path

from longshore.kinds.jobs.input import JobInput

DOCUMENT = (Path(__file__).parents[2] / "docs/jobs.md").read_text()


def test_every_field_of_a_job_is_in_the_table() -> None:
    table = DOCUMENT.partition("| field |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == set(JobInput.model_fields)
