"""The commands of the README do what it says, typed as they stand, in a home of their own."""

import asyncio
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands(document: Path) -> list[str]:
    """Every line of every block that is marked as shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


async def run(command: str, home: Path) -> str:
    env = {**os.environ, "XDG_STATE_HOME": str(home)}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"{command}\n{said.decode()}"
    return said.decode()


@pytest.mark.timeout(400)
async def test_the_commands_of_the_readme_work_and_down_leaves_no_process(tmp_path: Path) -> None:
    first, second, own = commands(ROOT / "README.md")
    try:
        shown = await run(first, tmp_path)
        assert "vehicles" in shown
        assert "mean travel time" in shown
        assert "Succeeded" in await run(second, tmp_path)
        assert "hello\n" in await run(own, tmp_path)
    finally:
        await run("make down", tmp_path)
    assert processes_of(tmp_path) == []


def processes_of(home: Path) -> list[str]:
    """Command lines of processes that name this home, in their arguments or their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        named = str(home).encode()
        if int(folder.name) != os.getpid() and (named in arguments or named in environment):
            found.append(arguments.replace(b"\0", b" ").decode())
    return found
