"""How long the garbage collector holds up everything else."""

from __future__ import annotations

import gc
import time
from types import TracebackType
from typing import Any, Self

OLDEST = 2  # the generation of a full collection


class Pauses:
    """`full_ms` is how long each full collection took while the context was open."""

    def __init__(self) -> None:
        self.full_ms: list[float] = []
        self._began = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.callbacks.remove(self._heard)

    def _heard(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != OLDEST:
            return
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.full_ms.append(round((time.perf_counter() - self._began) * 1000, 3))
