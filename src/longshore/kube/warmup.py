"""From the start of a process until its caches are in; composition roots wait here before they rely on them."""

import gc
from collections.abc import Iterable

from longshore.kube.versioned import Versioned


async def warmed_up(caches: Iterable[Versioned], deadline: float) -> None:
    """Return when all of them are synced; raises Unavailable where one takes more than `deadline` seconds.

    What they hold by then lives as long as the process, so full garbage collections are told not to walk through it:
    with 100,000 objects that would stop everything else for tens of milliseconds, again and again. (The objects are
    not tracked at all; their stores' containers are.)
    """
    for cache in caches:
        await cache.wait_synced(deadline)
    gc.collect()
    gc.freeze()
