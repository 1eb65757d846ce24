"""Files in parts against an API that answers as longshore does, and breaks where a test says so."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from longshore.runner.parts import PART, Digests, Piece, Sources, digests, fetch_in_pieces, send_in_parts
from longshore.runner.transfer import Api as RunnerApi
from longshore.runner.transfer import Refused

if TYPE_CHECKING:
    from tests.unit.conftest import Api

BASE, NAME, ID = "/v1/jobs/s1", "big.bin", "0" * 32
OPEN, FINISH = f"POST {BASE}/transfers", f"POST {BASE}/transfers/{ID}/finish"
CONTENT = random.Random(1).randbytes(2500)
Connect = Callable[[str], RunnerApi]


def put(number: int) -> str:
    return f"PUT /store/{number}"


def opened(url: str, here: set[int], *, done: bool = False) -> dict[str, Any]:
    """Three parts of 1,000 bytes, in a store at another address than the API's paths."""
    parts = [
        {
            "number": n,
            "offset": n * 1000,
            "size": min(1000, 2500 - n * 1000),
            "here": n in here,
            "url": f"{url}/store/{n}?k=v",
        }
        for n in range(3)
    ]
    return {"id": ID, "done": done, "parts": [] if done else parts}


def send(runner: RunnerApi) -> None:
    source = io.BytesIO(CONTENT)
    send_in_parts(runner, BASE, NAME, source, digests(source, 1000), deadline=1000)


def test_digests_are_of_the_whole_and_of_each_part() -> None:
    of = digests(io.BytesIO(CONTENT), 1000)
    cut = [hashlib.sha256(CONTENT[at : at + 1000]).hexdigest() for at in (0, 1000, 2000)]
    assert of == Digests(2500, hashlib.sha256(CONTENT).hexdigest(), cut)
    empty = hashlib.sha256(b"").hexdigest()
    assert digests(io.BytesIO(b""), 1000) == Digests(0, empty, [empty])
    assert len(digests(io.BytesIO(bytes(2000)), 1000).parts) == 2


def test_parts_of_runner_and_archive_are_of_one_size() -> None:
    from longshore.archive import transfers

    assert transfers.PART == PART


def test_only_what_is_missing_is_sent_and_the_store_never_sees_the_token(api: Api, runner: RunnerApi) -> None:
    api.on(OPEN, opened(api.url, {1}))
    for number in (0, 2):
        api.on(put(number), {})
    api.on(FINISH, {})
    send(runner)
    assert [f"{asked.method} {asked.path}" for asked in api.asked] == [OPEN, put(0), put(2), FINISH]
    assert api.asked[1].body + api.asked[2].body == CONTENT[:1000] + CONTENT[2000:]
    assert "Authorization" not in api.asked[1].headers
    assert api.asked[1].query == {"k": "v"}
    assert api.asked[3].json["parts"] == list(digests(io.BytesIO(CONTENT), 1000).parts)


def test_what_breaks_on_the_way_goes_on_with_new_urls(api: Api, runner: RunnerApi) -> None:
    api.on(OPEN, opened(api.url, set()))
    api.on(OPEN, opened(api.url, {0}))
    api.on(put(0), {})
    api.problem(put(1), 403, "this URL has expired")
    api.on(put(1), {})
    api.on(put(2), {})
    api.on(FINISH, {})
    send(runner)
    assert [asked.path[-1] for asked in api.asked if asked.method == "PUT"] == ["0", "1", "1", "2"]


def test_a_damaged_part_is_sent_again_and_a_file_that_stays_damaged_is_given_up(api: Api, runner: RunnerApi) -> None:
    api.on(OPEN, opened(api.url, {0, 1, 2}))
    api.on(OPEN, opened(api.url, {0, 2}))
    api.on(put(1), {})
    api.problem(FINISH, 400, "it arrived damaged")
    api.on(FINISH, {})
    send(runner)
    assert len(api.asked_for(put(1))) == 1
    api.problem(FINISH, 400, "it arrived damaged")
    api._script[FINISH].pop(0)
    with pytest.raises(Refused, match="it arrived damaged"):
        send(runner)


def test_a_file_that_is_there_already_is_not_sent(api: Api, runner: RunnerApi) -> None:
    api.on(OPEN, opened(api.url, set(), done=True))
    send(runner)
    assert len(api.asked) == 1


def test_a_store_s_refusal_quotes_no_signature(api: Api, runner: RunnerApi) -> None:
    api.on(OPEN, opened(api.url, {1, 2}))
    api.on(put(0), status=404, body=b"<Error>SignatureOf k=v</Error>")
    with pytest.raises(Refused, match="the store answered 404") as caught:
        send(runner)
    assert "k=v" not in f"{caught.value} {caught.value.hint}"


def test_pieces_come_from_the_store_and_break_anywhere(api: Api, runner: RunnerApi, tmp_path: Path) -> None:
    pieces = [Piece(0, 1000, f"{api.url}/store/0?k=v"), Piece(1000, 1500, "/v1/jobs/s1/inputs/rest")]
    sources = Sources(2500, hashlib.sha256(CONTENT).hexdigest(), pieces)
    api.broken("GET /store/0", CONTENT[:300])
    api.on("GET /store/0", status=206, body=CONTENT[300:1000])
    api.problem("GET /v1/jobs/s1/inputs/rest", 503, "away")
    api.on("GET /v1/jobs/s1/inputs/rest", body=CONTENT[1000:])
    fetch_in_pieces(runner, lambda: sources, tmp_path / "a", patience=60)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [asked.headers.get("Range") for asked in api.asked] == [None, "bytes=300-", None, None]
    assert ["Authorization" in asked.headers for asked in api.asked] == [False, False, True, True]


def test_an_empty_file_is_fetched_without_asking_for_bytes(api: Api, runner: RunnerApi, tmp_path: Path) -> None:
    nothing = Sources(0, hashlib.sha256(b"").hexdigest(), [Piece(0, 0, "/v1/jobs/s1/inputs/x")])
    fetch_in_pieces(runner, lambda: nothing, tmp_path / "a", patience=60)
    assert (tmp_path / "a").read_bytes() == b""
    assert api.asked == []


def test_a_file_that_is_shorter_than_it_says_is_refused(api: Api, runner: RunnerApi, tmp_path: Path) -> None:
    sources = Sources(2500, hashlib.sha256(CONTENT).hexdigest(), [Piece(0, 1000, "/x")])
    api.on("GET /x", body=CONTENT[:1000])
    with pytest.raises(Refused, match="has 1000 bytes, expected 2500"):
        fetch_in_pieces(runner, lambda: sources, tmp_path / "a", patience=60)
