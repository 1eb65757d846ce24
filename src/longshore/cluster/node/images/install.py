"""Pulling an image, which is installing its environment: once per content, by uv, with hashes.

An environment is complete when its marker is there. Two nodes that pull the same one wait for each other; what a
killed installation left is removed by the next.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from uv import find_uv_bin

from longshore.cluster.locks import locked
from longshore.cluster.node.disk import refusals
from longshore.cluster.node.images import catalog, standins
from longshore.cluster.node.images.catalog import Image
from longshore.errors import LongshoreError, UserMistake

INSTALL_SECONDS = 1800.0
_MARKER = ".complete"
_TOLD_BYTES = 600  # of an installer's output, in a pod's status


class Environment(Struct, frozen=True):
    """What a container gets from its image. `keep`: folders it must be able to read, wherever they are."""

    id: str
    path: tuple[str, ...]
    variables: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    keep: tuple[str, ...] = ()


class Listed(Struct, frozen=True):
    """One image as `listed` tells of it: `source` is the file that names it, `size` in bytes where it has a folder."""

    names: tuple[str, ...]
    kind: str
    installed: bool
    size: int | None
    source: str


class Images:
    """The images of one node; environments are kept below `folder`, shared by all nodes of the user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, reference: str) -> Image:
        """The entry for an image, from files that are read each time: adding one needs no restart."""
        return catalog.find(reference, [image for image, _ in self._all()])

    def listed(self) -> list[Listed]:
        """Every image that there is a name for."""
        return [
            Listed(image.names, image.kind, self.present(image) is not None, self._size_of(image), str(source))
            for image, source in self._all()
        ]

    async def remove(self, reference: str) -> bool:
        """Delete an environment; whether there was one. UserMistake where the image is not an environment."""
        image = self.find(reference)
        if image.kind != "environment":
            raise UserMistake(f"{reference} has no environment of its own.", hint="There is nothing to remove.")
        folder = self._folder_of(image)
        async with locked(folder.with_suffix(".lock"), deadline=INSTALL_SECONDS, waiting=_nothing):
            present = (folder / _MARKER).exists()
            (folder / _MARKER).unlink(missing_ok=True)  # first: half an environment must not pass for one
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return present

    def _all(self) -> list[tuple[Image, Path]]:
        files = (catalog.user_file(), catalog.SHIPPED)
        return [(image, file) for file in files for image in catalog.read(file)]

    def _size_of(self, image: Image) -> int | None:
        if image.kind != "environment" or self.present(image) is None:
            return None
        return sum(path.lstat().st_size for path in self._folder_of(image).rglob("*"))

    def present(self, image: Image) -> Environment | None:
        """The image's environment, unless it must be installed first."""
        if image.kind != "environment":
            return _without_folder(image)
        folder = self._folder_of(image)
        return _environment(image, folder) if (folder / _MARKER).exists() else None

    async def provide(self, reference: str) -> Environment:
        """The environment of an image by its name, installed if need be."""
        image = self.find(reference)
        return self.present(image) or await self.install(image)

    async def install(self, image: Image) -> Environment:
        """Make the environment if nobody has; LongshoreError with the installer's own words."""
        folder = self._folder_of(image)
        with refusals(folder):
            async with locked(folder.with_suffix(".lock"), deadline=INSTALL_SECONDS, waiting=_nothing):
                if not (folder / _MARKER).exists():
                    await self._make(image, folder)
        return _environment(image, folder)

    async def _make(self, image: Image, folder: Path) -> None:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        uv = find_uv_bin()
        await _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)], image)
        if image.requirements:
            install = [uv, "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode"]
            requirements = image.folder / image.requirements
            await _run([*install, "--python", str(folder / "bin/python"), "-r", str(requirements)], image)
        environment = _environment(image, folder)
        if image.stand_ins:
            await self._stand_in(image, Path(environment.path[0]), image.stand_ins.format(**_places(folder)))
        if image.check:
            path = os.pathsep.join([*environment.path, os.environ.get("PATH", os.defpath)])
            program = shutil.which(image.check[0], path=path) or image.check[0]
            await _run([program, *image.check[1:]], image, {**environment.variables, "PATH": path})
        (folder / _MARKER).touch()

    async def _stand_in(self, image: Image, programs: Path, libraries: str) -> None:
        files = await asyncio.to_thread(lambda: sorted(str(path) for path in programs.iterdir()))
        await _run([sys.executable, "-P", "-m", standins.__name__, libraries, *files], image)

    def _folder_of(self, image: Image) -> Path:
        """Named by all that the content depends on."""
        requirements = (image.folder / image.requirements).read_bytes() if image.requirements else b""
        machine = f"{sys.implementation.cache_tag} {sys.base_prefix} {platform.machine()} {sys.platform}".encode()
        digest = hashlib.sha256(b"\0".join((machine, requirements))).hexdigest()
        return self._folder / f"{image.names[0].replace('/', '-')}-{digest[:16]}"


def _without_folder(image: Image) -> Environment:
    identity = f"{image.kind}://{platform.node()}"
    if image.kind == "host":
        return Environment(identity, (), image.env, image.entrypoint, image.command, _kept(image))
    source = Path(__file__).parents[4]
    bin_folder = sysconfig.get_path("scripts")
    keep = (str(source), sys.prefix, sys.base_prefix, *_kept(image))
    return Environment(identity, (bin_folder,), image.env, image.entrypoint, image.command, keep)


def _environment(image: Image, folder: Path) -> Environment:
    places = _places(folder)
    return Environment(
        id=f"environment://{folder.name}",
        path=tuple(entry.format(**places) for entry in image.path),
        variables={name: value.format(**places) for name, value in image.env.items()},
        entrypoint=image.entrypoint,
        command=image.command,
        keep=(str(folder), sys.base_prefix, *_kept(image)),
    )


def _kept(image: Image) -> tuple[str, ...]:
    return tuple(os.path.expanduser(path) for path in image.keep)


def _places(folder: Path) -> dict[str, str]:
    """What {bin} and {site} stand for in images.toml."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return {"bin": str(folder / "bin"), "site": str(folder / "lib" / version / "site-packages")}


async def _run(command: list[str], image: Image, variables: Mapping[str, str] | None = None) -> None:
    environment = {**os.environ, **(variables or {})}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        why = f"{Path(command[0]).name} was not done with {image.names[0]} in {INSTALL_SECONDS:.0f} s"
        raise LongshoreError(why, hint=image.hint or None) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = output.decode(errors="replace").strip()[-_TOLD_BYTES:]
        raise LongshoreError(f"{Path(command[0]).name} failed for {image.names[0]}: {said}", hint=image.hint or None)


def _nothing() -> None:
    return None
