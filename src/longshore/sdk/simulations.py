"""SUMO traffic simulations: a scenario goes up as a stream, its outcome comes back; `sdk.client` hands it out."""

import asyncio
import io
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from longshore import errors
from longshore.sdk.answers import Artifact, ArtifactList, Job, Summary
from longshore.sdk.transport import Transport, segment

Progress = Callable[[int, int], None]
_ZIP: Final = "application/zip"


class Simulations:
    """`client.simulations`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def submit(
        self,
        scenario: Path,
        *,
        scenario_id: str | None = None,
        cpu: int | None = None,
        memory_gi: int | None = None,
        seed: int | None = None,
        end: float | None = None,
        config: str | None = None,
        options: Sequence[str] = (),
        outputs: Sequence[str] = (),
        idempotency_key: str | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Upload a ZIP with one .sumocfg (or `config` naming one) and run it; safe to send again, as `jobs.submit` is.

        `end` in simulated seconds; `progress` is called, from a thread, with the bytes sent so far and all of them.
        """
        fields = {
            "scenario_id": scenario_id or scenario.stem,
            "cpu_request": cpu,
            "memory_gi": memory_gi,
            "seed": seed,
            "end": end,
            "config": config,
        }
        pairs = [(name, str(value)) for name, value in fields.items() if value is not None]
        pairs += [("options", option) for option in options] + [("outputs", output) for output in outputs]
        if not await asyncio.to_thread(scenario.is_file):
            raise errors.UserMistake(f"there is no file {scenario}", hint="name the ZIP of a SUMO scenario")
        return await self._transport.call(
            "POST",
            "/v1/simulations",
            Job,
            body=lambda: _form(scenario, pairs, progress),
            headers={"Idempotency-Key": idempotency_key or uuid.uuid4().hex},
        )

    async def summary(self, job: str) -> Summary:
        """Vehicles, mean times and what else is known, once the simulation has ended."""
        return await self._transport.call("GET", f"/v1/simulations/{segment(job)}/summary", Summary)

    async def results(self, job: str) -> list[Artifact]:
        """The files that the simulation kept."""
        return (await self._transport.call("GET", f"/v1/simulations/{segment(job)}/results", ArtifactList)).items


class _Counting(io.BufferedReader):
    """Tells how far an upload has read; aiohttp reads it from a thread."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__(io.FileIO(path))
        self._progress = progress
        self._all = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self._progress:
            self._progress(self.tell(), self._all)
        return content


def _form(scenario: Path, pairs: Sequence[tuple[str, str]], progress: Progress | None) -> aiohttp.FormData:
    """A fresh body for each try; the fields come first, so that the server may refuse before the file has arrived."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in pairs:
        form.add_field(name, value)
    form.add_field("sumo_files", _Counting(scenario, progress), filename=scenario.name, content_type=_ZIP)
    return form
