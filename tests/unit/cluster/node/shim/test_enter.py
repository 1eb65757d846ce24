"""What a command in a container says, read until it ends or its time is up."""

import os
import time

from longshore.cluster.node.shim.enter import _collect


def test_a_command_that_ended_in_time_has_done_so_though_nobody_looked_before_its_time_was_up() -> None:
    output, inlet = os.pipe()
    os.write(inlet, b"said")
    os.close(inlet)
    assert _collect(output, time.monotonic() - 1) == (b"said", True)
    os.close(output)


def test_a_command_that_says_more_and_more_is_out_of_time_all_the_same() -> None:
    output = os.open("/dev/zero", os.O_RDONLY)
    said, in_time = _collect(output, time.monotonic() - 1)
    assert (said.strip(b"\0"), in_time) == (b"", False)
    os.close(output)
