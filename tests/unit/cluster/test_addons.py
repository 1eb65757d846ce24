import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from longshore.cluster import golang, nodes
from longshore.cluster.addons import catalog, installed, kwok
from longshore.cluster.addons.addon import Addon, pinned
from longshore.cluster.cluster import LocalCluster
from longshore.errors import LongshoreError, UserMistake

MakeGo = Callable[..., Path]


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    """One that was never up."""
    return LocalCluster("tiny", state_root=tmp_path / "state")


@pytest.mark.parametrize("addon", catalog.ADDONS, ids=lambda addon: addon.name)
def test_every_add_on_is_one_exact_version_whose_hash_is_known(addon: Addon) -> None:
    program = addon.program()
    assert re.fullmatch(r"\d+\.\d+\.\d+", program.version)
    sums = program.modfile.with_suffix(".sum").read_text()
    known = re.findall(rf"^(\S+) v{program.version} h1:", sums, re.MULTILINE)
    assert any(program.package.startswith(f"{path}/") for path in known)


def test_a_module_without_a_tool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module example.com/none\n\nrequire (\n\texample.com/one v1.0.0\n)\n")
    with pytest.raises(LongshoreError, match="does not pin a tool"):
        pinned(tmp_path / "go.mod")


async def test_an_add_on_is_built_once_from_its_own_module(make_go: MakeGo, tmp_path: Path, own_cache: Path) -> None:
    make_go('echo "$3 in $(basename "$PWD")" >"$OUT"')
    built = await catalog.provide(["kwok", "s3"], lambda _: None)
    assert {name: path.read_text() for name, path in built.items()} == {
        "kwok": "sigs.k8s.io/kwok/cmd/kwok in kwok\n",
        "s3": "github.com/versity/versitygw/cmd/versitygw in versitygw\n",
    }
    assert [path.relative_to(own_cache / "longshore").parts[0] for path in built.values()] == ["kwok", "versitygw"]
    assert await catalog.provide(["s3"], lambda _: None) == {"s3": built["s3"]}
    assert (tmp_path / "builds").read_text() == "built\n" * 2


async def test_a_build_that_fails_installs_nothing(make_go: MakeGo, cluster: LocalCluster) -> None:
    make_go('echo "write: no space left on device"; exit 1')
    with pytest.raises(golang.BuildFailed, match="building kwok failed"):
        await installed.install(cluster, "kwok")
    assert cluster.folder.read_settings().addons == ()


async def test_a_cluster_that_is_down_remembers_what_it_is_to_have_and_to_be_rid_of(
    make_go: MakeGo, cluster: LocalCluster
) -> None:
    make_go()
    for name in ("kwok", "s3", "kwok"):
        assert not (await installed.install(cluster, name)).ready
    settings = cluster.folder.read_settings()
    assert (settings.addons, settings.leaving) == (("kwok", "s3"), ())
    await installed.remove(cluster, "kwok")
    settings = cluster.folder.read_settings()
    assert (settings.addons, settings.leaving) == (("s3",), ("kwok",))
    assert {one.name: one.installed for one in await installed.listed(cluster)} == {"kwok": False, "s3": True}
    await installed.install(cluster, "kwok")
    settings = cluster.folder.read_settings()
    assert (settings.addons, settings.leaving) == (("s3", "kwok"), ())


async def test_an_add_on_that_there_is_not_is_answered_with_those_there_are(cluster: LocalCluster) -> None:
    with pytest.raises(UserMistake, match="no add-on 'minio'") as caught:
        await installed.install(cluster, "minio")
    assert caught.value.hint == "There are: kwok, s3."


@pytest.mark.parametrize("name", ["kwok", "s3", "etcd", "supervisor"])
async def test_a_node_may_not_have_the_name_of_an_add_on_or_another_part(cluster: LocalCluster, name: str) -> None:
    with pytest.raises(UserMistake, match=f"{name} is the name of another part"):
        await nodes.add(cluster, [name])
    assert cluster.folder.read_settings().nodes is None


def test_s3_keeps_its_keys_and_tells_its_new_port(cluster: LocalCluster, tmp_path: Path) -> None:
    site, s3 = cluster.addon_site("s3"), catalog.find("s3")

    def credentials() -> dict[str, str]:
        s3.part(tmp_path / "versitygw", site)
        path = Path(s3.facts(site)["credentials"])
        assert path.stat().st_mode & 0o777 == 0o600
        return dict(line.split("=", 1) for line in path.read_text().splitlines())

    before = credentials()
    assert credentials() == before
    cluster.folder.change_settings(ports={**cluster.folder.read_settings().ports, "addon.s3": 29_999})
    assert credentials() == {**before, "AWS_ENDPOINT_URL": "http://127.0.0.1:29999"}
    Path(s3.facts(site)["credentials"]).write_text("damaged\n")
    fresh = credentials()
    assert fresh.keys() == before.keys()
    assert fresh["AWS_SECRET_ACCESS_KEY"] not in ("", before["AWS_SECRET_ACCESS_KEY"])


def test_the_taint_the_annotation_and_the_stages_of_simulated_nodes_agree() -> None:
    made = kwok.node("one", "v1.37.1", {"cpu": "32"})
    assert kwok.is_simulated(made["metadata"]["annotations"])
    assert not kwok.is_simulated({})
    assert made["spec"]["taints"] == [{"key": kwok.MARK, "value": kwok.MARKED, "effect": "NoSchedule"}]
    documents: list[Any] = list(yaml.safe_load_all(kwok.CONFIG.read_text()))
    (delay,) = [one["spec"]["delay"] for one in documents if one.get("metadata", {}).get("name") == "pod-complete"]
    assert f'"{kwok.DURATION}"' in delay["durationFrom"]["expressionFrom"]
