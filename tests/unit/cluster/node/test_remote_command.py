"""How an exec tells its exit code."""

import json

from longshore.cluster.node.remote_command import outcome


def test_success_and_failure_are_statuses() -> None:
    assert json.loads(outcome(0))["status"] == "Success"
    failure = json.loads(outcome(3))
    assert failure["reason"] == "NonZeroExitCode"
    assert failure["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
