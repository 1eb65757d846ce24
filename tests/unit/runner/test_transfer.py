from __future__ import annotations

import hashlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.runner.parts import Piece, Sources, fetch_in_pieces
from longshore.runner.transfer import Api as RunnerApi
from longshore.runner.transfer import Refused, job_path, one_line, retry_after

if TYPE_CHECKING:
    from tests.unit.conftest import Api
    from tests.unit.runner.conftest import Waiting

GET, PUT, POST = "GET /v1/jobs/s1/inputs/a.zip", "PUT /v1/jobs/s1/artifacts/out.csv", "POST /v1/jobs/s1/outputs"
PATH = "/v1/jobs/s1/inputs/a.zip"
CONTENT = b"longshore" * 100_000
SHA = hashlib.sha256(CONTENT).hexdigest()


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that reads only the head of each request, says its piece and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(1024)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(60)
        assert not thread.is_alive()


def download(runner: RunnerApi, into: Path, *, sha256: str, deadline: float) -> None:
    sources = Sources(len(CONTENT), SHA, [Piece(0, len(CONTENT), PATH)])
    fetch_in_pieces(runner, lambda: sources, into, sha256=sha256, patience=deadline)


def test_a_file_is_downloaded_with_the_token(api: Api, runner: RunnerApi, tmp_path: Path) -> None:
    api.on(GET, body=CONTENT)
    download(runner, tmp_path / "a", sha256=SHA.upper(), deadline=10)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert api.asked[0].headers["Authorization"] == "Bearer a-token-that-must-not-be-seen"


def test_the_token_is_read_anew_for_each_try(
    api: Api, connect: Callable[[str], RunnerApi], token_file: Path, tmp_path: Path
) -> None:
    api.problem(GET, 401, "the token has expired")
    api.on(GET, body=CONTENT)

    def rotate(_: float) -> None:
        token_file.write_text("rotated")

    download(RunnerApi(api.url, token_file, sleep=rotate), tmp_path / "a", sha256=SHA, deadline=1000)
    assert [asked.headers["Authorization"] for asked in api.asked][1] == "Bearer rotated"


def test_another_content_than_was_submitted_is_refused_at_once(api: Api, runner: RunnerApi, tmp_path: Path) -> None:
    api.on(GET, body=CONTENT[:-1] + b"!")
    with pytest.raises(Refused, match=f"expected {SHA}"):
        download(runner, tmp_path / "a", sha256=SHA, deadline=1000)
    assert len(api.asked) == 1


def test_a_busy_api_is_asked_again_when_it_says(api: Api, runner: RunnerApi, waiting: Waiting, tmp_path: Path) -> None:
    api.problem(GET, 429, "slow down", headers={"Retry-After": "7"})
    api.problem(GET, 503, "away")
    api.on(GET, body=CONTENT)
    download(runner, tmp_path / "a", sha256=SHA, deadline=100)
    assert waiting.slept == [7.0, 0.5]  # the second: half of a ceiling of 0.5 * 2


def test_waiting_grows_to_a_cap_and_ends_at_the_deadline(
    api: Api, runner: RunnerApi, waiting: Waiting, tmp_path: Path
) -> None:
    api.problem(GET, 503, "the archive is away", hint="wait for it")
    with pytest.raises(Refused, match=r"503: the archive is away \(gave up after \d+ tries\)") as caught:
        download(runner, tmp_path / "a", sha256=SHA, deadline=60)
    assert caught.value.hint == "wait for it"
    assert waiting.slept[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, 7.5]
    assert max(waiting.slept) == 7.5
    assert waiting.now <= 60


def test_a_refusal_that_may_be_a_replica_lagging_behind_is_tried_a_few_times(
    api: Api, runner: RunnerApi, waiting: Waiting, tmp_path: Path
) -> None:
    api.problem(GET, 404, "there is no artifact 'a.zip'", hint="look at the job's inputs")
    with pytest.raises(Refused, match=r"404: there is no artifact 'a\.zip'"):
        download(runner, tmp_path / "a", sha256=SHA, deadline=1000)
    assert len(api.asked) == 5
    assert waiting.now < 10


def test_a_plain_refusal_is_final(api: Api, runner: RunnerApi) -> None:
    api.problem(POST, 422, "no such\nfield", hint="see\nthe docs")
    with pytest.raises(Refused, match="422: no such field") as caught:
        runner.post("/v1/jobs/s1/outputs", {}, deadline=1000)
    assert caught.value.hint == "see the docs"
    assert len(api.asked) == 1


def test_an_answer_that_breaks_off_is_read_on_where_it_broke(
    connect: Callable[[str], RunnerApi], tmp_path: Path
) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(CONTENT), CONTENT)
    rest = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\n" + CONTENT[-5:]
    with answering(whole[:-5], b"", rest) as url:
        download(connect(url), tmp_path / "a", sha256=SHA, deadline=100)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_what_has_come_already_is_skipped_where_a_server_knows_no_ranges(
    api: Api, runner: RunnerApi, tmp_path: Path
) -> None:
    api.broken(GET, CONTENT[:1000])
    api.on(GET, body=CONTENT)
    download(runner, tmp_path / "a", sha256=SHA, deadline=100)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_an_upload_is_streamed_with_its_digest_and_sent_whole_again(api: Api, runner: RunnerApi) -> None:
    api.problem(PUT, 503, "away")
    api.on(PUT, {})
    file = io.BytesIO(CONTENT + b"what was appended meanwhile")
    runner.upload("/v1/jobs/s1/artifacts/out.csv", file, size=len(CONTENT), sha256=SHA, deadline=100)
    assert [asked.body == CONTENT for asked in api.asked] == [True, True]
    assert api.asked[1].headers["X-Content-SHA256"] == SHA
    assert api.asked[1].headers["Content-Length"] == str(len(CONTENT))


def test_a_server_that_refuses_before_it_has_read_the_body_is_heard(connect: Callable[[str], RunnerApi]) -> None:
    body = b'{"detail": "the archive takes 1 GB", "hint": "send less"}'
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    size = 50 * 1024**2
    with answering(answer) as url, pytest.raises(Refused, match="413: the archive takes 1 GB") as caught:
        connect(url).upload("/x", io.BytesIO(bytes(size)), size=size, sha256=SHA, deadline=100)
    assert caught.value.hint == "send less"


def test_an_api_that_is_not_there_is_named_without_the_token(connect: Callable[[str], RunnerApi]) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))  # and nobody else can, as long as it is ours
        port = nobody_listens.getsockname()[1]
        with pytest.raises(Refused, match=rf"the API at 127\.0\.0\.1:{port} cannot be reached: .*refused") as caught:
            connect(f"http://127.0.0.1:{port}").post("/x", {}, deadline=20)
    assert caught.value.hint
    assert "a-token" not in str(caught.value)


def test_a_full_disk_is_not_taken_for_a_fault_of_the_network(api: Api, runner: RunnerApi, waiting: Waiting) -> None:
    api.on(GET, body=CONTENT)
    with pytest.raises(Refused, match="'full' cannot be written: No space left on device"):
        download(runner, Path("/dev/full"), sha256=SHA, deadline=100)
    assert waiting.slept == []


def test_a_token_file_that_is_not_there_is_said(api: Api, runner: RunnerApi, token_file: Path) -> None:
    token_file.unlink()
    with pytest.raises(Refused, match="token file cannot be read: FileNotFoundError"):
        runner.post("/x", {}, deadline=100)
    assert api.asked == []


@pytest.mark.parametrize("content", ["", "two\nwords-of-a-token"])
def test_a_malformed_token_is_said_and_not_shown(runner: RunnerApi, token_file: Path, content: str) -> None:
    token_file.write_text(content)
    with pytest.raises(Refused, match=r"token file has [02] words") as caught:
        runner.post("/x", {}, deadline=100)
    assert "words-of-a-token" not in str(caught.value)


def test_an_address_that_is_none_is_said(token_file: Path) -> None:
    with pytest.raises(Exception, match="LONGSHORE_API is no http"):
        RunnerApi("ftp://host", token_file)


def test_names_keep_their_slashes_and_are_quoted() -> None:
    assert job_path("s1", "artifacts", "out/a b?#.csv") == "/v1/jobs/s1/artifacts/out/a%20b%3F%23.csv"


def test_long_texts_become_one_short_line() -> None:
    assert one_line(" a\n b\tc ") == "a b c"
    assert one_line("x" * 400).endswith("…")
    assert len(one_line("x" * 400)) == 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("12", 12.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("\u00b2", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    assert retry_after(value, datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)) == seconds
