import os
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from longshore.cluster.parts import Check, Part, PartState
from longshore.cluster.processes import is_running, marked
from longshore.cluster.state import choose_ports

Eventually = Callable[..., Awaitable[Any]]


def running(name: str, **rest: Any) -> Part:
    """A part that writes a line when it starts and one when it is asked to stop, into a file that all share."""
    code = f"""
        import os, pathlib, signal
        events = pathlib.Path(os.environ["LONGSHORE_CLUSTER_DIR"], "events").open("a", buffering=1)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # a handler could run just before it waits
        events.write("{name} starts\\n")
        signal.sigwait([signal.SIGTERM])
        events.write("{name} stops\\n")
    """
    return Part(name, (sys.executable, "-c", textwrap.dedent(code)), **rest)


def server(name: str, port: int, gate: Path, **rest: Any) -> Part:
    """Which answers once there is this file."""
    serve = f"{sys.executable} -m http.server --bind 127.0.0.1 --directory /dev {port}"
    argv = ("sh", "-c", f"until [ -e {gate} ]; do sleep 0.02; done; exec {serve}")
    return Part(name, argv, ready=Check(f"http://127.0.0.1:{port}/"), **rest)


def ready(parts: dict[str, PartState]) -> bool:
    return all(state.ready for state in parts.values())


def restarted(name: str, times: int = 1) -> Callable[[dict[str, PartState]], bool]:
    return lambda parts: name in parts and parts[name].restarts >= times and parts[name].ready


async def test_parts_start_after_those_they_wait_for_and_stop_before_them(
    supervised: Any, eventually: Eventually
) -> None:
    events = supervised.folder.root / "events"
    events.touch()
    supervised.plan(running("first"), running("second", after=("first",)), running("third", after=("second",)))
    await supervised.start()
    states = await supervised.until_ready(["first", "second", "third"])
    await eventually(lambda: len(events.read_text().splitlines()) == 3)
    os.kill(supervised.says().supervisor.pid, signal.SIGTERM)
    await eventually(lambda: not marked(supervised.folder.root))
    lines = events.read_text().splitlines()
    assert sorted(lines[:3]) == ["first starts", "second starts", "third starts"]
    assert lines[3:] == ["third stops", "second stops", "first stops"]
    assert not any(is_running(state.process) for state in states.values() if state.process)


async def test_a_part_that_is_killed_comes_back_under_another_pid(supervised: Any) -> None:
    supervised.plan(running("one"), running("other"))
    await supervised.start()
    before = await supervised.until_ready(["one", "other"])
    os.kill(before["one"].process.pid, signal.SIGKILL)
    after = await supervised.until(restarted("one"))
    assert after["one"].process != before["one"].process
    assert after["one"].exit == -signal.SIGKILL
    assert after["other"].process == before["other"].process
    assert "ended, exit code -9" in supervised.log("one")


async def test_a_part_that_cannot_stay_is_tried_again_and_again(supervised: Any) -> None:
    supervised.plan(Part("bad", (sys.executable, "-c", "print('no such flag'); raise SystemExit(3)"), ready=Check("")))
    await supervised.start()
    states = await supervised.until(lambda parts: parts["bad"].restarts >= 2)
    assert states["bad"].exit == 3
    assert not states["bad"].ready
    assert supervised.log("bad").count("no such flag") >= 2


async def test_a_program_that_is_not_there_is_told_in_its_log(supervised: Any) -> None:
    supervised.plan(Part("missing", ("/no/such/program",)), running("other"))
    await supervised.start()
    states = await supervised.until(lambda parts: parts["missing"].restarts >= 1 and parts["other"].ready)
    assert states["missing"].exit == 127
    assert "cannot start /no/such/program: No such file" in supervised.log("missing")


async def test_ready_is_when_it_answers_and_only_then_the_next_starts(supervised: Any, tmp_path: Path) -> None:
    port, gate = choose_ports(["http"], {})["http"], tmp_path / "gate"
    gate.touch()
    supervised.plan(server("http", port, gate), running("next", after=("http",)))
    await supervised.start()
    states = await supervised.until_ready(["http", "next"])
    assert states["next"].since >= states["http"].since
    gate.unlink()  # it is not ready again before anybody has looked
    os.kill(states["http"].process.pid, signal.SIGKILL)
    await supervised.until(lambda parts: not parts["http"].ready)
    gate.touch()
    states = await supervised.until(restarted("http"))
    assert states["next"].restarts == 0


async def test_a_new_plan_is_followed_on_sighup_and_what_did_not_change_goes_on(supervised: Any) -> None:
    supervised.plan(running("stays"), running("changes"), running("goes"))
    await supervised.start()
    before = await supervised.until_ready(["stays", "changes", "goes"])
    supervised.plan(running("stays"), running("changes", env={"NEW": "1"}), running("comes"))
    os.kill(supervised.says().supervisor.pid, signal.SIGHUP)
    after = await supervised.until(lambda parts: set(parts) == {"stays", "changes", "comes"} and ready(parts))
    assert after["stays"].process == before["stays"].process
    assert after["changes"].process != before["changes"].process
    assert not is_running(before["goes"].process)


async def test_a_part_that_ignores_sigterm_is_killed_with_its_group_when_its_grace_is_over(
    supervised: Any, eventually: Eventually
) -> None:
    ignore = "trap '' TERM; (trap '' TERM; exec sleep 600) & echo up; wait; sleep 600"
    supervised.plan(Part("stubborn", ("sh", "-c", ignore), grace=0.2))
    await supervised.start()
    await supervised.until_ready(["stubborn"])
    await eventually(lambda: "up" in supervised.log("stubborn"))
    os.kill(supervised.says().supervisor.pid, signal.SIGTERM)
    await eventually(lambda: not marked(supervised.folder.root))
    assert "still running 0 s after SIGTERM: killed" in supervised.log("stubborn")


async def test_the_supervisor_leaves_the_session_of_whoever_started_it(supervised: Any) -> None:
    supervised.plan()
    await supervised.start()
    pid = supervised.says().supervisor.pid
    assert os.getsid(pid) == pid != os.getsid(0)


async def test_nobody_else_may_read_what_the_supervisor_writes(supervised: Any) -> None:
    supervised.plan(running("one"))
    await supervised.start()
    await supervised.until_ready(["one"])
    files: list[Path] = [supervised.folder.supervision, supervised.folder.plan]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


async def test_a_state_file_that_cannot_be_written_stops_nothing_and_is_written_later(
    supervised: Any, eventually: Eventually
) -> None:
    supervised.plan(running("one"))
    await supervised.start()
    before = await supervised.until_ready(["one"])
    said = supervised.folder.supervision
    said.unlink()
    said.mkdir()  # a file cannot replace a folder, not even as root
    os.kill(before["one"].process.pid, signal.SIGKILL)
    await eventually(lambda: supervised.log("one").count("starting") == 2)
    said.rmdir()
    after = await supervised.until(restarted("one"))
    assert after["one"].process != before["one"].process
