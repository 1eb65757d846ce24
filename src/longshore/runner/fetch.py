"""The init container: puts a job's inputs into its workspace before the user's container starts.

When it fails the pod fails, and its one line on stderr is what the job's owner reads (FallbackToLogsOnError).
"""

from longshore.runner.environment import Environment, Input, RunnerError
from longshore.runner.parts import Sources, fetch_in_pieces
from longshore.runner.transfer import Api, job_path
from longshore.runner.unpack import inside, unpack

# without a byte: long enough for an API that is being replaced, short enough not to hang on one that is gone
FETCH_SECONDS = 300.0
_PARTIAL = ".longshore-fetch"


def fetch(environment: Environment, api: Api) -> None:
    """Fetch every input, and make the folder of the progress file: SUMO makes no folders for what it writes."""
    for item in environment.inputs:
        try:
            _fetch_one(item, environment, api)
        except RunnerError as error:
            raise RunnerError(f"input {item.artifact!r}: {error.message}", hint=error.hint) from None
    if environment.progress:
        (environment.workspace / inside(environment.progress.path)).parent.mkdir(parents=True, exist_ok=True)


def _fetch_one(item: Input, environment: Environment, api: Api) -> None:
    folder = environment.workspace / inside(item.path)
    target = folder / inside(item.name or item.artifact)
    partial = environment.workspace / _PARTIAL
    try:
        (folder if item.unpack else target.parent).mkdir(parents=True, exist_ok=True)
        path = job_path(environment.job, "sources", "inputs", item.artifact)
        fetch_in_pieces(api, lambda: Sources.read(api.ask(path)), partial, sha256=item.sha256, patience=FETCH_SECONDS)
        if item.unpack:
            unpack(partial, folder)
        else:
            partial.replace(target)
    except OSError as error:
        raise RunnerError(f"cannot be put into the workspace: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
