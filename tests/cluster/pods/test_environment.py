"""Where a container's variables come from."""

from tests.cluster.space import Namespace, is_over, shell, waits_for


async def test_values_may_use_earlier_ones_and_dollars_can_be_escaped(space: Namespace) -> None:
    env = [
        {"name": "A", "value": "one"},
        {"name": "B", "value": "$(A)-two"},
        {"name": "C", "value": "$(NONE) $$(A)"},
    ]
    lines = await space.output('echo "$A|$B|$C"; echo $(B)', container={"env": env})
    assert lines == ["one|one-two|$(NONE) $(A)", "one-two"]


async def test_command_and_args_are_expanded(space: Namespace) -> None:
    env = [{"name": "WHO", "value": "world"}]
    lines = await space.output("", container={"command": ["echo"], "args": ["hello $(WHO)"], "env": env})
    assert lines == ["hello world"]


async def test_keys_of_config_maps_and_secrets_become_variables(space: Namespace) -> None:
    await space.config_map("settings", colour="green")
    await space.secret("login", password="s3cret")
    env = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no", "optional": True}}},
    ]
    lines = await space.output('echo "$COLOUR $PASSWORD ${MAYBE-unset}"', container={"env": env})
    assert lines == ["green s3cret unset"]


async def test_whole_config_maps_and_secrets_become_variables(space: Namespace) -> None:
    await space.config_map("settings", A="1", B="2")
    await space.secret("login", TOKEN="t")
    sources = [
        {"configMapRef": {"name": "settings"}},
        {"prefix": "X_", "secretRef": {"name": "login"}},
        {"configMapRef": {"name": "none", "optional": True}},
    ]
    container = {"envFrom": sources, "env": [{"name": "B", "value": "mine"}]}
    assert await space.output('echo "$A $B $X_TOKEN"', container=container) == ["1 mine t"]


async def test_a_pod_knows_itself_by_field_refs(space: Namespace) -> None:
    paths = {
        "NAME": "metadata.name",
        "SPACE": "metadata.namespace",
        "UID_": "metadata.uid",
        "LABEL": "metadata.labels['team']",
        "NOTE": "metadata.annotations['note']",
        "NODE": "spec.nodeName",
        "ACCOUNT": "spec.serviceAccountName",
        "IP": "status.podIP",
        "HOST": "status.hostIP",
    }
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in paths.items()]
    script = "; ".join(f'echo "${name}"' for name in paths)
    meta = {"labels": {"team": "blue"}, "annotations": {"note": "a b"}}
    lines = await space.output(script, container={"env": env}, meta=meta)
    pod = await space.until(is_over)
    assert lines == [
        "pod",
        space.name,
        pod["metadata"]["uid"],
        "blue",
        "a b",
        pod["spec"]["nodeName"],
        "default",
        pod["status"]["podIP"],
        pod["status"]["hostIP"],
    ]


async def test_a_container_knows_its_resources(space: Namespace) -> None:
    refs = {
        "CPU": {"resource": "limits.cpu"},
        "MILLI": {"resource": "requests.cpu", "divisor": "1m"},
        "MEMORY": {"resource": "limits.memory", "divisor": "1Mi"},
    }
    env = [{"name": name, "valueFrom": {"resourceFieldRef": ref}} for name, ref in refs.items()]
    resources = {"requests": {"cpu": "150m", "memory": "32Mi"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}
    lines = await space.output('echo "$CPU $MILLI $MEMORY"', container={"env": env, "resources": resources})
    assert lines == ["2 150 64"]


async def test_a_missing_config_map_holds_the_container_until_it_comes(space: Namespace) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]
    await space.create(shell('echo "$A"', env=env))
    await space.until(waits_for("CreateContainerConfigError"))
    assert "late" in await space.event("Failed")
    await space.config_map("late", a="here")
    await space.until(is_over)
    assert await space.log() == "here\n"
