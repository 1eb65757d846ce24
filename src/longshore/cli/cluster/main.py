"""Puts `longshore cluster ...` together; `cli.main` mounts `app`."""

import typer

from longshore.cli.cluster import addons, images, lifecycle, look, nodes

app = typer.Typer(
    help="A local Kubernetes cluster: a real control plane, and nodes whose pods are processes.",
    epilog="Clusters live side by side: --cluster, or LONGSHORE_CLUSTER, names one.",
    no_args_is_help=True,
)
lifecycle.register(app)
look.register(app)
app.add_typer(nodes.app, name="node")
app.add_typer(images.app, name="images")
app.add_typer(addons.app, name="addon")
