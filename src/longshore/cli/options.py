"""Every field of a job as an option of the command line, and the API's JSON that is made of a file and these.

`cli.submit` adds them to `submit` and `plan`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast

import typer

from longshore import errors

T = TypeVar("T")
_MORE: Final = "What it needs, and where it may run"


def pair(text: str) -> tuple[str, str]:
    """KEY=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    return name, value


def _secret(text: str) -> tuple[str, dict[str, str]]:
    name, where = pair(text)
    secret, colon, key = where.partition(":")
    if not secret or not colon or not key:
        raise typer.BadParameter(f"{text!r} is not NAME=SECRET:KEY")
    return name, {"secret": secret, "key": key}


def _mount(text: str) -> dict[str, Any]:
    claim, _, rest = text.partition(":")
    path, _, mode = rest.partition(":")
    if not claim or not path or mode not in ("", "ro", "rw"):
        raise typer.BadParameter(f"{text!r} is not CLAIM:PATH or CLAIM:PATH:ro")
    return {"claim": claim, "path": path, **({"read_only": True} if mode == "ro" else {})}


def _input(text: str) -> dict[str, Any]:
    artifact, _, path = text.partition(":")
    if "/" not in artifact:
        raise typer.BadParameter(f"{text!r} is not JOB/FILE or JOB/FILE:FOLDER")
    return {"artifact": artifact, **({"path": path} if path else {})}


def _toleration(text: str) -> dict[str, Any]:
    taint, _, effect = text.partition(":")
    key, equals, value = taint.partition("=")
    if not key:
        raise typer.BadParameter(f"{text!r} is not KEY, KEY=VALUE or KEY=VALUE:EFFECT")
    said: dict[str, Any] = {"key": key, "operator": "Equal" if equals else "Exists"}
    return said | ({"value": value} if equals else {}) | ({"effect": effect} if effect else {})


def _option(*names: str, help: str, metavar: str | None = None, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=panel, **more)


_Many = list[str] | None
OPTIONS: Final[Mapping[str, Any]] = {
    "image": Annotated[str | None, _option("--image", "-i", help="Container image to run.")],
    "name": Annotated[str | None, _option("--name", "-n", help="A name for people.")],
    "env": Annotated[_Many, _option("--env", "-e", metavar="KEY=VALUE", help="A variable; repeatable.")],
    "env_secret": Annotated[
        _Many, _option("--env-secret", metavar="NAME=SECRET:KEY", help="A variable out of a Secret; repeatable.")
    ],
    "cpu": Annotated[str | None, _option("--cpu", help="Cores, such as 2 or 500m.")],
    "memory": Annotated[str | None, _option("--memory", help="Memory, such as 512Mi.")],
    "output": Annotated[_Many, _option("--output", "-o", metavar="GLOB", help="Files to keep; repeatable.")],
    "retries": Annotated[int | None, _option("--retries", min=0, help="How often to try again when it fails.")],
    "time_limit": Annotated[int | None, _option("--time-limit", min=1, help="Seconds after which it is ended.")],
    "tag": Annotated[_Many, _option("--tag", metavar="KEY=VALUE", help="For filters; repeatable.")],
    "priority": Annotated[str | None, _option("--priority", help="One of the tenant's.")],
    "gpu": Annotated[int | None, _option("--gpu", min=0, help="GPUs.", panel=_MORE)],
    "gpu_type": Annotated[str | None, _option("--gpu-type", help="Only this model of GPU.", panel=_MORE)],
    "ephemeral": Annotated[str | None, _option("--ephemeral", help="Disk it may fill, such as 10Gi.", panel=_MORE)],
    "shm_size": Annotated[str | None, _option("--shm-size", help="Size of /dev/shm, such as 1Gi.", panel=_MORE)],
    "input": Annotated[
        _Many, _option("--input", metavar="JOB/FILE[:FOLDER]", help="A file of another job; repeatable.", panel=_MORE)
    ],
    "mount": Annotated[
        _Many, _option("--mount", metavar="CLAIM:PATH[:ro]", help="A volume of the tenant; repeatable.", panel=_MORE)
    ],
    "working_dir": Annotated[str | None, _option("--working-dir", help="Where the command begins.", panel=_MORE)],
    "completions": Annotated[
        int | None, _option("--completions", min=1, help="How often it runs, each with an index.", panel=_MORE)
    ],
    "parallelism": Annotated[
        int | None, _option("--parallelism", min=1, help="How many at a time; alone also how often.", panel=_MORE)
    ],
    "schedule_to_start": Annotated[
        int | None,
        _option("--schedule-to-start", min=1, help="Seconds from its turn by which it must run.", panel=_MORE),
    ],
    "image_pull_secret": Annotated[
        _Many, _option("--image-pull-secret", metavar="NAME", help="A Secret to pull with; repeatable.", panel=_MORE)
    ],
    "service_account": Annotated[
        str | None, _option("--service-account", help="One that the tenant is allowed.", panel=_MORE)
    ],
    "node_selector": Annotated[
        _Many, _option("--node-selector", metavar="KEY=VALUE", help="A label of its node; repeatable.", panel=_MORE)
    ],
    "toleration": Annotated[
        _Many,
        _option("--toleration", metavar="KEY[=VALUE][:EFFECT]", help="A taint it bears; repeatable.", panel=_MORE),
    ],
}
_LISTS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "output": ("outputs", str),
    "input": ("inputs", _input),
    "mount": ("mounts", _mount),
    "image_pull_secret": ("image_pull_secrets", str),
    "toleration": ("tolerations", _toleration),
}
_MAPS: Final[Mapping[str, tuple[str, Callable[[str], tuple[str, Any]]]]] = {
    "env": ("env", pair),
    "env_secret": ("env", _secret),
    "tag": ("tags", pair),
    "node_selector": ("node_selector", pair),
}


def wanted(file: str | None, argv: Sequence[str], said: Mapping[str, Any]) -> dict[str, object]:
    """The API's JSON: the file's, with the options over it and the command of the command line in place of its own."""
    from longshore.sdk.fields import JobFields, document

    read = _read(file) if file else {}
    image = said.get("image") or read.get("image")
    if not image:
        raise typer.BadParameter(
            f"{file} names no 'image': add it there, or say it with --image"
            if file
            else "say with --image what to run, or with --file where that is written"
        )
    made = document(str(image), argv, cast(JobFields, _fields(said)))
    if file and not said.get("name") and read.get("name"):
        del made["name"]
    merged = {**read, **made}
    for name in ("env", "tags", "node_selector", "resources"):
        if isinstance(read.get(name), dict) and isinstance(made.get(name), dict):
            merged[name] = {**read[name], **cast(dict[str, Any], made[name])}
    return merged


def _fields(said: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in said.items() if name not in (*_LISTS, *_MAPS, "image")}
    lists = {field: [read(each) for each in said.get(name) or ()] for name, (field, read) in _LISTS.items()}
    maps: dict[str, dict[str, Any]] = {}
    for name, (field, split) in _MAPS.items():
        maps.setdefault(field, {}).update(split(each) for each in said.get(name) or ())
    return {**plain, **lists, **maps}


def _read(file: str) -> dict[str, Any]:
    """A job as the API's own JSON, written as JSON or YAML; - is stdin."""
    import yaml

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        content = yaml.safe_load(text)
    except OSError as error:
        raise errors.UserMistake(f"{file} cannot be read: {error.strerror}", hint="--file takes JSON or YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())[:200]
        raise errors.UserMistake(f"{file} is neither JSON nor YAML: {why}", hint="docs/cli.md has an example") from None
    if not isinstance(content, dict):
        hint = "begin with `image: NAME`; docs/cli.md has an example"
        raise errors.UserMistake(f"{file} holds no job", hint=hint)
    return content
