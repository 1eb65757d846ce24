import asyncio
from pathlib import Path

import msgspec

from longshore.cluster.node.launcher import Launcher
from longshore.cluster.node.model import Container
from longshore.cluster.node.probes import Probes


async def test_a_header_that_cannot_be_sent_is_a_failure_of_the_hook_alone() -> None:
    failures: list[str] = []
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        get = {"port": server.sockets[0].getsockname()[1], "httpHeaders": [{"name": "X", "value": "a\nb"}]}
        container = msgspec.convert({"name": "main", "lifecycle": {"preStop": {"httpGet": get}}}, Container)
        probes = Probes(container, Path(), "127.0.0.1", Launcher(), told=lambda _: None, failed=failures.append)
        await probes.pre_stop(60)
    assert len(failures) == 1
    assert "header" in failures[0].lower()
