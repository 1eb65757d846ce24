"""Who is the administrator, and that nobody is by an empty token."""

from pathlib import Path

import pytest

from longshore.errors import UserMistake
from longshore.web.auth import admin_token


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
