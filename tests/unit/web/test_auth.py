"""Who is the administrator, that nobody is by an empty token, and that a long answer asks again who reads it."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from longshore.errors import Unavailable, UserMistake
from longshore.web.auth import (
    AGAIN_SECONDS,
    Authentication,
    Caller,
    admin_token,
    asked_again,
)


async def test_the_administrator_is_who_shows_the_token_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    authenticate = admin_token(file)
    administrator = await authenticate("secret")
    assert administrator is not None
    assert administrator.admin
    for other in ("", "secret\n", "Secret", "secre"):
        assert await authenticate(other) is None


def test_an_empty_token_file_makes_nobody_administrator(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" \n")
    with pytest.raises(UserMistake, match="is empty"):
        admin_token(file)


async def test_a_long_answer_asks_now_and_then_whether_its_reader_is_still_known() -> None:
    known: list[Caller | Unavailable | None] = [Caller("k", tenant="t"), Unavailable("keys are away"), None]
    now = 0.0

    async def authenticate(credential: str) -> Caller | None:
        assert credential == "good"
        found = known.pop(0)
        if isinstance(found, Unavailable):
            raise found
        return found

    app = Starlette()
    app.state.authentication = Authentication([authenticate])
    scope = {"type": "http", "app": app, "headers": [(b"x-api-key", b"good")]}
    still_known = asked_again(HTTPConnection(scope), lambda: now)
    assert await still_known()
    assert len(known) == 3, "nobody is asked at once"
    for expected in (True, True, False):
        now += AGAIN_SECONDS
        assert await still_known() is expected
