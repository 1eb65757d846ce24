"""What those see of a refused pod who ask for more than its status."""

import pytest
from tests.cluster.space import Kubectl, Namespace, is_over, shell

from longshore.errors import LongshoreError


async def test_the_log_of_a_refused_pod_is_why_it_was_refused(space: Namespace) -> None:
    pod = await space.run(shell("echo ran"), hostPID=True)
    assert pod["status"]["reason"] == "NotOnProcessNode"
    with pytest.raises(LongshoreError, match=r"spec\.hostPID: pods do not share"):
        await space.log()


async def test_kubectl_run_with_a_terminal_says_what_is_not_possible(space: Namespace, kubectl: Kubectl) -> None:
    image = f"--image={space.where.image('busybox')}"
    code, _, err = await kubectl("run", "typed", "-it", "--restart=Never", image, "--", "sh")
    assert code != 0
    assert "spec.containers[0].stdin" in err
    await space.until(is_over, "typed")
