"""Which environment an image's name stands for: images.toml of this package, and the user's own before it; pure."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from longshore.errors import UserMistake

SHIPPED = Path(__file__).with_name("images.toml")
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+(?::[0-9]+)?/"
_REFERENCE = re.compile(
    rf"(?:{_HOST})?{_PART}(?:/{_PART})*(?::\w[\w.-]*)?(?:@[A-Za-z0-9+._-]+:[0-9a-fA-F]+)?", re.ASCII
)


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of images.toml, where each field is explained. `folder` is where `requirements` are."""

    names: tuple[str, ...]
    kind: Literal["self", "host", "environment"]
    requirements: str = ""
    path: tuple[str, ...] = ("{bin}",)
    keep: tuple[str, ...] = ()
    env: dict[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    stand_ins: str = ""
    check: tuple[str, ...] = ()
    hint: str = ""
    folder: Path = Path()


class _File(Struct, forbid_unknown_fields=True):
    image: tuple[Image, ...] = ()


def user_file() -> Path:
    """$XDG_CONFIG_HOME/longshore/images.toml."""
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".config") / "longshore" / "images.toml"


def read(path: Path) -> list[Image]:
    """The entries of one file; none when there is no such file. UserMistake says what is wrong in it."""
    try:
        content = msgspec.convert(tomllib.loads(path.read_text()), _File)
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UserMistake(f"{path} cannot be used: {error}", hint=f"compare it with {SHIPPED}") from None
    return [msgspec.structs.replace(image, folder=path.parent) for image in content.image]


def is_reference(text: str) -> bool:
    """Whether this can name an image. Source: the grammar of github.com/distribution/reference."""
    return _REFERENCE.fullmatch(text) is not None


def bare_name(reference: str) -> str:
    """An image reference without registry docker.io/library, tag and digest: `python:3.12` is `python`."""
    name = reference.split("@")[0]
    head, _, tail = name.rpartition("/")
    name = f"{head}/{tail.split(':')[0]}" if head else tail.split(":")[0]
    for prefix in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(prefix)
    return name.removeprefix("library/")


def find(reference: str, images: Iterable[Image]) -> Image:
    """The entry for this image. UserMistake says which ones there are and how to add one."""
    images = list(images)
    wanted = bare_name(reference)
    for image in images:
        if wanted in image.names:
            return image
    known = ", ".join(name for image in images for name in image.names)
    raise UserMistake(
        f"This node knows no image {wanted!r}. Its images are names of environments: {known}.",
        hint=f"Add an entry to {user_file()}, as in {SHIPPED}.",
    )
