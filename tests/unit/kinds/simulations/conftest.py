"""ZIPs as people, tools and enemies make them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping

import pytest

CONFIG = """<configuration>
    <input><net-file value="town.net.xml"/><route-files value="town.rou.xml"/></input>
    <time><begin value="0"/><end value="3600"/></time>
</configuration>"""

Pack = Callable[..., io.BytesIO]


@pytest.fixture
def pack() -> Pack:
    """A good scenario as a ZIP; `changes` replaces files, adds them, or with None leaves them out."""

    def build(changes: Mapping[str | zipfile.ZipInfo, bytes | str | None] | None = None) -> io.BytesIO:
        files: dict[str | zipfile.ZipInfo, bytes | str | None] = {
            "town.sumocfg": CONFIG,
            "town.net.xml": "<net/>",
            "town.rou.xml": "<routes/>",
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (files | dict(changes or {})).items():
                if content is not None:
                    archive.writestr(name, content)
        return file

    return build
