"""Each kind of volume, at the path where it is wanted."""

import base64
import json

import pytest
from tests.cluster.space import Namespace, Raw, is_over, shell

from longshore.kube.objects import CONFIG_MAPS

ASK_API = """
import os, ssl, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
api = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
token = open(folder + "/token").read()
request = urllib.request.Request(f"{api}/api/v1/nodes", headers={"Authorization": f"Bearer {token}"})
try:
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{folder}/ca.crt"))
except urllib.error.HTTPError as refused:
    print(refused.code, refused.read().decode())
"""


def mounted(volume: Raw, path: str, **mount: object) -> tuple[Raw, Raw]:
    """The spec of a pod with one volume, and the fields of a container that mounts it."""
    return {"volumes": [{"name": "v", **volume}]}, {"volumeMounts": [{"name": "v", "mountPath": path, **mount}]}


async def test_an_empty_dir_is_shared_by_the_containers_of_a_pod(space: Namespace) -> None:
    spec, mounts = mounted({"emptyDir": {}}, "/workspace")
    writer = shell("echo hello > /workspace/file", "writer", **mounts)
    waits = "until test -s /workspace/file; do sleep 0.05; done"  # a shell makes a file before it writes it
    reader = shell(f"{waits}; cat /workspace/file", "reader", **mounts)
    pod = await space.run(writer, reader, **spec)
    assert pod["status"]["phase"] == "Succeeded"
    assert await space.log(container="reader") == "hello\n"


async def test_an_empty_dir_outlives_a_restart_of_its_container(space: Namespace) -> None:
    spec, mounts = mounted({"emptyDir": {}}, "/data")
    script = "echo run >> /data/runs; test $(wc -l < /data/runs) -ge 2 || exit 1; cat /data/runs"
    await space.run(shell(script, **mounts), restartPolicy="OnFailure", **spec)
    assert await space.log() == "run\nrun\n"


async def test_an_empty_dir_in_memory_can_be_the_shared_memory(space: Namespace) -> None:
    spec, mounts = mounted({"emptyDir": {"medium": "Memory"}}, "/dev/shm")
    assert await space.output("echo x > /dev/shm/a; cat /dev/shm/a", container=mounts, **spec) == ["x"]


async def test_a_config_map_is_a_folder_of_files(space: Namespace) -> None:
    await space.config_map("files", **{"a.txt": "alpha", "b.txt": "beta"})
    spec, mounts = mounted({"configMap": {"name": "files"}}, "/etc/mine")
    assert await space.output("cd /etc/mine; ls; cat a.txt", container=mounts, **spec) == ["a.txt", "b.txt", "alpha"]


async def test_files_hold_bytes_and_can_be_read_by_all(space: Namespace) -> None:
    body = {"metadata": {"name": "files"}, "binaryData": {"b": base64.b64encode(bytes([0, 255])).decode()}}
    await space.client.create(CONFIG_MAPS, body, space.name)
    spec, mounts = mounted({"configMap": {"name": "files"}}, "/etc/mine")
    script = "od -An -tx1 /etc/mine/b; stat -L -c %a /etc/mine/b; touch /etc/mine/new 2>/dev/null || echo refused"
    lines = await space.output(script, container=mounts, **spec)
    assert [line.strip() for line in lines] == ["00 ff", "644", "refused"]


async def test_a_missing_key_holds_the_pod(space: Namespace) -> None:
    await space.config_map("files", a="x")
    spec, mounts = mounted({"configMap": {"name": "files", "items": [{"key": "none", "path": "x"}]}}, "/etc/mine")
    await space.create(shell("true", **mounts), **spec)
    assert "none" in await space.event("FailedMount")


async def test_items_choose_keys_paths_and_modes(space: Namespace) -> None:
    await space.config_map("files", run="#!/bin/sh\necho ran")
    items = [{"key": "run", "path": "bin/run.sh", "mode": 0o755}]
    spec, mounts = mounted({"configMap": {"name": "files", "items": items}}, "/opt/scripts")
    assert await space.output("/opt/scripts/bin/run.sh; ls /opt/scripts", container=mounts, **spec) == ["ran", "bin"]


async def test_a_secret_is_a_folder_of_files_with_a_mode(space: Namespace) -> None:
    await space.secret("login", password="s3cret")
    spec, mounts = mounted({"secret": {"secretName": "login", "defaultMode": 0o400}}, "/var/run/secrets/login")
    script = "cd /var/run/secrets/login; cat password; echo; stat -L -c %a password"
    assert await space.output(script, container=mounts, **spec) == ["s3cret", "400"]


async def test_an_optional_config_map_may_be_missing(space: Namespace) -> None:
    spec, mounts = mounted({"configMap": {"name": "none", "optional": True}}, "/etc/none")
    assert await space.output("ls /etc/none | wc -l", container=mounts, **spec) == ["0"]


async def test_a_missing_secret_holds_the_pod_until_it_comes(space: Namespace) -> None:
    spec, mounts = mounted({"secret": {"secretName": "late"}}, "/late")
    await space.create(shell("cat /late/key", **mounts), **spec)
    assert "late" in await space.event("FailedMount")
    await space.secret("late", key="here")
    await space.until(is_over, deadline=90)
    assert (await space.log()).rstrip() == "here"


async def test_files_of_the_downward_api_tell_of_the_pod(space: Namespace) -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
    ]
    spec, mounts = mounted({"downwardAPI": {"items": items}}, "/podinfo")
    container = {**mounts, "resources": {"limits": {"cpu": "3"}, "requests": {"cpu": "10m"}}}
    script = "cat /podinfo/labels; echo; cat /podinfo/cpu"
    meta = {"labels": {"app": "x", "tier": "back end".replace(" ", "-")}}
    lines = await space.output(script, container=container, meta=meta, **spec)
    assert lines == ['app="x"', 'tier="back-end"', "3"]


async def test_a_projected_volume_joins_sources(space: Namespace) -> None:
    await space.config_map("conf", one="1")
    await space.secret("sec", two="2")
    sources = [
        {"configMap": {"name": "conf"}},
        {"secret": {"name": "sec", "items": [{"key": "two", "path": "deep/two"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    spec, mounts = mounted({"projected": {"sources": sources}}, "/all")
    assert await space.output("cd /all; cat one deep/two name", container=mounts, **spec) == ["12pod"]


async def test_a_projected_token_is_for_its_audience_and_bound_to_the_pod(space: Namespace) -> None:
    sources = [{"serviceAccountToken": {"audience": "longshore", "expirationSeconds": 3600, "path": "token"}}]
    spec, mounts = mounted({"projected": {"sources": sources}}, "/var/run/secrets/longshore")
    lines = await space.output("cat /var/run/secrets/longshore/token", container=mounts, **spec)
    claims = json.loads(base64.urlsafe_b64decode(lines[0].split(".")[1] + "=="))
    assert claims["aud"] == ["longshore"]
    assert claims["kubernetes.io"]["pod"]["name"] == "pod"
    assert claims["sub"] == f"system:serviceaccount:{space.name}:default"


@pytest.mark.needs_mounts
@pytest.mark.every_sandbox
async def test_the_token_of_every_pod_opens_the_api(space: Namespace) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"ls {folder}; cat {folder}/namespace; echo; echo $KUBERNETES_SERVICE_HOST"
    lines = await space.output(script)
    assert lines[:4] == ["ca.crt", "namespace", "token", space.name]
    assert lines[4]


@pytest.mark.every_sandbox
async def test_the_token_is_left_out_where_it_is_not_wanted(space: Namespace) -> None:
    script = "test -e /var/run/secrets/kubernetes.io || echo none"
    assert await space.output(script, automountServiceAccountToken=False) == ["none"]


@pytest.mark.needs_mounts
async def test_a_pod_asks_the_api_as_its_service_account(space: Namespace) -> None:
    pod = await space.run({"name": "main", "image": "python", "command": ["python3", "-c", ASK_API]})
    said = await space.log()
    assert pod["status"]["phase"] == "Succeeded", said
    assert f"system:serviceaccount:{space.name}:default" in said


async def test_a_sub_path_shows_a_part_of_a_volume(space: Namespace) -> None:
    await space.config_map("files", **{"app.conf": "x=1"})
    volumes = {"volumes": [{"name": "d", "emptyDir": {}}, {"name": "c", "configMap": {"name": "files"}}]}
    mounts = [
        {"name": "d", "mountPath": "/whole"},
        {"name": "d", "mountPath": "/part", "subPath": "sub/dir"},
        {"name": "c", "mountPath": "/etc/app/app.conf", "subPath": "app.conf"},
        {"name": "d", "mountPath": "/named", "subPathExpr": "by-$(WHO)"},
    ]
    container = {"volumeMounts": mounts, "env": [{"name": "WHO", "value": "me"}]}
    script = "echo a > /part/file; cat /whole/sub/dir/file /etc/app/app.conf; echo; touch /named/x; ls /whole/by-me"
    assert await space.output(script, container=container, **volumes) == ["a", "x=1", "x"]


async def test_a_read_only_mount_refuses_writes(space: Namespace) -> None:
    spec, mounts = mounted({"emptyDir": {}}, "/data", readOnly=True)
    assert await space.output("touch /data/x 2>/dev/null || echo refused", container=mounts, **spec) == ["refused"]


async def test_one_volume_can_be_mounted_inside_another(space: Namespace) -> None:
    volumes = {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]}
    mounts = [{"name": "b", "mountPath": "/data/inner"}, {"name": "a", "mountPath": "/data"}]
    script = "echo a > /data/a; echo b > /data/inner/b; cat /data/a /data/inner/b; ls /data"
    lines = await space.output(script, container={"volumeMounts": mounts}, **volumes)
    assert lines == ["a", "b", "a", "inner"]


@pytest.mark.needs_mounts
async def test_each_container_has_its_own_tmp_and_root(space: Namespace) -> None:
    mine = f"/tmp/{space.name} /{space.name}"
    one = shell(f"mkdir {mine} && ls -d {mine} && sleep 1", "one")
    two = shell(f"sleep 0.5; ls -d {mine} 2>/dev/null || echo clean", "two")
    pod = await space.run(one, two)
    assert pod["status"]["phase"] == "Succeeded"
    assert await space.log(container="two") == "clean\n"
