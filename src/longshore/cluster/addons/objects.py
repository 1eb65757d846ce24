"""What add-ons need in the API: there while they are installed, gone afterwards. Every `up` calls it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from longshore.cluster.addons.addon import Addon
from longshore.errors import NotFound

FIELD_MANAGER = "longshore-addons"


async def settle(kubeconfig: Path, coming: Sequence[Addon], going: Sequence[Addon]) -> None:
    """Apply what those that are installed need, and delete what those that were removed left."""
    if not going and not any(addon.objects for addon in coming):
        return
    from longshore.kube.client import Client  # most clusters need none
    from longshore.kube.config import Config

    async with Client(Config.load(kubeconfig)) as client:
        for addon in coming:
            for resource, body in addon.objects:
                await client.apply(resource, body, field_manager=FIELD_MANAGER)
        for addon in going:
            await addon.clear(client)
            for resource, body in reversed(addon.objects):
                with suppress(NotFound):
                    await client.delete(resource, body["metadata"]["name"])
