"""What a simulation is: a SUMO scenario as asked for, and the job request that runs it; pure data."""

from __future__ import annotations

from msgspec import Struct

from longshore.kinds.jobs.model import Input, JobRequest, Progress, Resources

KIND = "simulation"
LETTER = "s"


class SimulationInput(Struct, frozen=True):
    """What a caller asks for beside the scenario itself. Times are simulated seconds."""

    scenario_id: str
    cpu_request: int = 2
    memory_gi: int = 4
    config: str | None = None
    seed: int | None = None
    end: float | None = None
    options: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class Upload(Struct, frozen=True):
    """A scenario that was looked through and found good."""

    sha256: str
    config: str
    end: float | None
    command: tuple[str, ...]
    outputs: tuple[str, ...]
    folder: str
    progress_file: str

    @property
    def artifact(self) -> str:
        """Named by its content, so that no other upload can ever take its place."""
        return f"scenario-{self.sha256[:32]}.zip"


def job_request(asked: SimulationInput, upload: Upload, image: str) -> JobRequest:
    """The job that runs this scenario in `image`."""
    return JobRequest(
        name=asked.scenario_id,
        image=image,
        command=upload.command,
        resources=Resources(str(asked.cpu_request), f"{asked.memory_gi}Gi"),
        inputs=(Input(upload.artifact, upload.folder, unpack=True, sha256=upload.sha256),),
        outputs=upload.outputs,
        progress=Progress("sumo-summary", upload.progress_file, upload.end),
        extra={"config_file": upload.config},
    )
