"""`longshore cluster images ...`: the environments that stand for images on process nodes."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli.cluster.command import Json, shown
from longshore.cli.output import Output, size
from longshore.cluster.progress import Report, Step

if TYPE_CHECKING:
    from longshore.cluster.node.images.install import Images

app = typer.Typer(
    help="The images of process nodes: names that stand for environments of this machine.", no_args_is_help=True
)

ImageName = Annotated[str, typer.Argument(metavar="IMAGE", help="A name, such as longshore/sumo.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """List the images, where each comes from, and what is installed."""
    out = Output(json=json)
    found = asyncio.run(asyncio.to_thread(_images().listed))
    if json:
        out.document(found)
        return
    rows = [
        (", ".join(one.names), one.kind, "yes" if one.installed else "when first used", size(one.size), one.source)
        for one in found
    ]
    out.table(("image", "kind", "installed", "size", "from"), rows)


@app.command()
def pull(image: ImageName) -> None:
    """Install an image's environment now, so that no pod waits for it."""
    out = Output(json=False)

    async def work(report: Report) -> str:
        report(Step(f"installing {image}"))
        return (await _images().provide(image)).id

    out.text(shown(out, work))


@app.command()
def remove(image: ImageName) -> None:
    """Delete an image's environment; it is installed again when a pod wants it. Pods that run in it will fail."""
    out = Output(json=False)
    out.say(f"{image} is removed" if asyncio.run(_images().remove(image)) else f"{image} was not installed")


def _images() -> "Images":
    from longshore.cluster.node.images.install import Images
    from longshore.cluster.state import cache_home

    return Images(cache_home() / "images")
