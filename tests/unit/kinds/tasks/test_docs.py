"""docs/tasks.md does what it says: its service is started, its commands typed, its answers compared."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.product.serving import free_port

from longshore.kinds.tasks import model
from longshore.kinds.tasks.desk import load_template, modes
from longshore.settings import Settings

ROOT = Path(__file__).parents[4]
DOCUMENT = (ROOT / "docs/tasks.md").read_text()
PLACE = "localhost:8484"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Each command that is typed, and what it says."""
    typed = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, said = part.partition("\n")
            typed.append((command, said))
    return typed


def test_the_template_is_one() -> None:
    [template] = blocks("yaml")
    assert load_template(template) == model.template_of(template)


def test_the_phases_do_what_their_table_says() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCUMENT.splitlines()
        if re.match(r"\| \d ", line)
    ]
    assert len(rows) == 4
    for _, use, dual, answers, beside, back in rows:
        found = modes(Settings(use_k8s_jobs=use == "true", dual_run=dual == "true"))
        assert [mode.value for mode in found] == [word for word in (answers, beside) if word]
        assert "USE_K8S_JOBS=" in back or "DUAL_RUN=" in back


def test_every_setting_of_tasks_is_named() -> None:
    for name, field in Settings.model_fields.items():
        if name.startswith("task_") or name in ("use_k8s_jobs", "dual_run", "redis_url"):
            short = name.upper().removeprefix("TASK_HEARTBEAT")
            assert name.upper() in DOCUMENT or f"...{short}" in DOCUMENT or str(field.alias) in DOCUMENT, name


async def test_the_sessions_say_what_is_written(tmp_path: Path) -> None:
    place = f"localhost:{free_port()}"
    # the task ends once who follows it has heard that it runs, however long it takes here to get so far
    gate = f"until [ -e {tmp_path}/gate ]; do sleep 0.1; done"
    (tmp_path / "template.yaml").write_text(blocks("yaml")[0].replace("sleep 2", gate))
    follows = blocks("python")[0].replace(PLACE, place)
    heard = "print(message.data)"
    assert heard in follows
    (tmp_path / "follow.py").write_text(follows.replace(heard, f"{heard}; open('gate', 'w').close()"))
    [start] = blocks("sh")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LONGSHORE_", "KUBE"))}
    env = {**kept, "HOME": str(tmp_path), "LONGSHORE_PORT": place.partition(":")[2], "TOKEN": "lsa_mine"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    with (tmp_path / "log").open("wb") as log:
        service = await asyncio.create_subprocess_shell(
            start.replace("longshore serve", "exec longshore serve"),
            cwd=tmp_path,
            env=env,
            stdout=log,
            stderr=log,
            executable="/bin/bash",
        )
    try:
        await typed(f"curl -s --retry 60 --retry-delay 1 --retry-connrefused {place}/livez", tmp_path, env)
        for command, wanted in sessions():
            said = await typed(command.replace(PLACE, place), tmp_path, env)
            assert alike(said) == alike(wanted), f"{command}\n{said}"
    finally:
        with suppress(ProcessLookupError):
            service.terminate()
        await asyncio.wait_for(service.wait(), 60)


async def typed(command: str, folder: Path, env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, f"{shlex.quote(command)}: {said.decode()}"
    return said.decode()


def alike(said: str) -> Any:
    """JSON by what it means, times aside."""
    lines: list[Any] = []
    for line in said.splitlines():
        try:
            lines.append({k: v for k, v in json.loads(line).items() if not k.endswith("_time")})
        except ValueError:
            lines.append(line)
    return lines


@pytest.mark.parametrize("name", ["index.html", "tasks.js", "serve.py", "template.yaml"])
def test_the_example_has_its_parts(name: str) -> None:
    assert (ROOT / "deploy/examples/tasks" / name).is_file()


def test_the_template_of_the_example_is_one() -> None:
    assert load_template(str(ROOT / "deploy/examples/tasks/template.yaml")) is not None
