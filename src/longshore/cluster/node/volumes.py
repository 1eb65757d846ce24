"""Makes the volumes of one pod, and keeps them up to date: tokens before they expire, ConfigMaps when they change."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from longshore.cluster.node import content
from longshore.cluster.node.claims import mounted
from longshore.cluster.node.claims.mounted import Claimed
from longshore.cluster.node.content import File, TokenFile
from longshore.cluster.node.env import Names, Sources, decode_secret
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Pod
from longshore.cluster.node.reading import read
from longshore.errors import NotFound
from longshore.kube import tokens
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, SECRETS, Object
from longshore.kube.tokens import Token

_TOKEN_LIFE_USED = 0.8  # as the kubelet: a token is replaced when that much of its life is over


class ConfigMap(Object, frozen=True, rename="camel"):
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}


_CONFIG_MAPS = CONFIG_MAPS.read_as(ConfigMap)


class Volumes:
    """The volumes of one pod below `folder`; those that are claims are links to folders of `claims_root`."""

    def __init__(self, client: Client, pod: Pod, place: Place, folder: Path, claims_root: Path) -> None:
        self._client = client
        self._pod = pod
        self._place = place
        self._folder = folder
        self._claims_root = claims_root
        self._claimed = {wanted.volume: wanted for wanted in mounted.claimed(pod)}
        self._projected = {
            volume["name"]: projected for volume in pod.spec.volumes if (projected := content.projections(volume))
        }
        self._tokens: dict[TokenFile, tuple[str, datetime]] = {}
        self._written: dict[str, dict[str, File]] = {}

    @property
    def may_change(self) -> bool:
        """Whether there is anything to keep up to date."""
        return bool(self._projected)

    async def write(self, pod: Pod, now: datetime) -> None:
        """Make them as they should be now. UserMistake names what is missing, Refused what cannot be had here."""
        self._pod = pod
        for volume in pod.spec.volumes:
            if volume["name"] not in self._projected and volume["name"] not in self._claimed:
                _empty_dir(self._folder / volume["name"])
        for wanted in self._claimed.values():
            await self._link(wanted)
        sources = await read_sources(self._client, pod.metadata.namespace, content.names(self._projected.values()))
        issued = await self._issue(content.tokens(self._projected.values()), now)
        for name, projected in self._projected.items():
            files = content.files(projected, pod, self._place, sources, issued)
            if self._written.get(name) != files:
                await asyncio.to_thread(replace_files, self._folder / name, files)
                self._written[name] = files

    async def _link(self, wanted: Claimed) -> None:
        """Once made it stays: what a claim is bound to does not change."""
        link = self._folder / wanted.volume
        if not link.is_symlink():
            link.symlink_to(await mounted.find(self._client, self._pod, wanted, self._claims_root))

    async def _issue(self, wanted: Iterable[TokenFile], now: datetime) -> dict[TokenFile, str]:
        for token in wanted:
            if token not in self._tokens or self._tokens[token][1] <= now:
                issued = await self._request(token)
                life = issued.expires - now
                self._tokens[token] = (issued.value, now + life * _TOKEN_LIFE_USED)
        return {token: value for token, (value, _) in self._tokens.items()}

    async def _request(self, token: TokenFile) -> Token:
        return await tokens.request(
            self._client,
            self._pod.spec.service_account_name,
            self._pod.metadata.namespace,
            audiences=[token.audience] if token.audience else [],
            expiration_seconds=token.expiration_seconds,
            pod=self._pod,
        )


async def read_sources(client: Client, namespace: str, names: Names) -> Sources:
    """Read ConfigMaps and Secrets from the API; the ones that do not exist are None."""

    async def config_map(name: str) -> dict[str, bytes] | None:
        try:
            found = await read(client, _CONFIG_MAPS, name, namespace)
        except NotFound:
            return None
        text = {key: value.encode() for key, value in found.data.items()}
        return {**text, **decode_secret(found.binary_data)}

    async def secret(name: str) -> dict[str, bytes] | None:
        try:
            return decode_secret((await read(client, SECRETS, name, namespace)).data)
        except NotFound:
            return None

    async with asyncio.TaskGroup() as group:
        maps = {name: group.create_task(config_map(name)) for name in names.config_maps}
        secrets = {name: group.create_task(secret(name)) for name in names.secrets}
    return Sources(
        {name: task.result() for name, task in maps.items()}, {name: task.result() for name, task in secrets.items()}
    )


def replace_files(folder: Path, files: Mapping[str, File]) -> None:
    """Show `files` in `folder`, all at once: readers see the old ones or the new ones (the kubelet's ..data link)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    old = folder / os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
    new = _next(folder)
    for path, file in files.items():
        target = new / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    temporary = folder / "..data.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(new.name)
    temporary.replace(folder / "..data")
    wanted = {path.split("/")[0] for path in files}
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _next(folder: Path) -> Path:
    for number in range(1_000_000):
        with_number = folder / f"..{number}"
        try:
            with_number.mkdir(mode=0o755)
        except FileExistsError:
            continue
        return with_number
    raise OSError(f"{folder} is full of old versions")


def _empty_dir(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
