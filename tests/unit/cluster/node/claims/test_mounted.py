"""Which of a pod's volumes are claims, what of a claim is checked, and which folders are shown."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from longshore.cluster.node.claims.model import Claim, Volume
from longshore.cluster.node.claims.mounted import Claimed, check, claimed, folder_of
from longshore.cluster.node.model import Pod
from longshore.cluster.node.refusal import Refused
from longshore.errors import UserMistake

WANTED = Claimed("data", "mine", "spec.volumes[0].persistentVolumeClaim")


def pod(*volumes: dict[str, Any]) -> Pod:
    return msgspec.convert({"metadata": {"name": "pod", "uid": "p"}, "spec": {"volumes": volumes}}, Pod)


def claim(phase: str = "Bound", volume: str = "pv", **meta: Any) -> Claim:
    body = {"metadata": {"name": "mine", "uid": "c", **meta}, "spec": {"volumeName": volume}}
    return msgspec.convert({**body, "status": {"phase": phase}}, Claim)


def bound(uid: str, **source: Any) -> Volume:
    return msgspec.convert({"metadata": {"name": "pv"}, "spec": {**source, "claimRef": {"uid": uid}}}, Volume)


def test_claims_are_found_among_the_volumes() -> None:
    found = claimed(
        pod(
            {"name": "tmp", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "mine", "readOnly": True}},
            {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
        )
    )
    assert found == (
        Claimed("data", "mine", "spec.volumes[1].persistentVolumeClaim", read_only=True),
        Claimed("own", "pod-own", "spec.volumes[2].ephemeral", of_pod=True),
    )


@pytest.mark.parametrize(
    ("given", "wanted", "why"),
    [
        (claim(phase="Pending"), WANTED, "not bound"),
        (claim(phase="Lost"), WANTED, "not bound"),
        (claim(volume=""), WANTED, "not bound"),
        (claim(deletionTimestamp="2026-11-28T10:00:00Z"), WANTED, "being deleted"),
        (claim(), Claimed("own", "pod-own", "f", of_pod=True), "not created for this pod"),
    ],
)
def test_a_pod_waits_for_a_claim_that_cannot_be_mounted_yet(given: Claim, wanted: Claimed, why: str) -> None:
    with pytest.raises(UserMistake, match=why):
        check(given, wanted, pod())


def test_a_bound_claim_and_one_made_for_the_pod_can_be_mounted() -> None:
    check(claim(), WANTED, pod())
    owner = {"kind": "Pod", "name": "pod", "uid": "p"}
    check(claim(ownerReferences=[owner]), Claimed("own", "pod-own", "f", of_pod=True), pod())


def test_hostpath_and_local_volumes_of_the_clusters_own_folder_are_shown(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for source in ("hostPath", "local"):
        volume = bound("c", **{source: {"path": f"{tmp_path}/a"}})
        assert folder_of(volume, claim(), WANTED, tmp_path) == tmp_path / "a"


@pytest.mark.parametrize("source", [{"hostPath": {"path": "/etc"}}, {"local": {"path": "/"}}, {"nfs": {"server": "x"}}])
def test_any_other_volume_is_refused_and_the_pods_field_named(tmp_path: Path, source: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        folder_of(bound("c", **source), claim(), WANTED, tmp_path)
    assert caught.value.refusal.field == "spec.volumes[0].persistentVolumeClaim"


def test_a_volume_of_another_claim_or_without_its_folder_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="another claim"):
        folder_of(bound("other", hostPath={"path": f"{tmp_path}/a"}), claim(), WANTED, tmp_path)
    with pytest.raises(UserMistake, match="gone"):
        folder_of(bound("c", hostPath={"path": f"{tmp_path}/a"}), claim(), WANTED, tmp_path)
