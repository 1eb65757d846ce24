"""Images by name."""

from pathlib import Path

import pytest

from longshore.cluster.node.images.catalog import SHIPPED, bare_name, find, is_reference, read
from longshore.errors import UserMistake

IMAGES = read(SHIPPED)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("docker.io/library/python:3.12-slim", "python"),
        ("longshore/sumo@sha256:abc", "longshore/sumo"),
        ("registry:5000/team/app:v1", "registry:5000/team/app"),
        ("localhost:5000/app", "localhost:5000/app"),
    ],
)
def test_a_reference_is_reduced_to_its_name(reference: str, name: str) -> None:
    assert bare_name(reference) == name
    assert is_reference(reference)


@pytest.mark.parametrize("text", ["", "Upper", "a b", "team/", "-app", "app:", "app:!", "app@sha256", "a__-b"])
def test_what_cannot_be_a_reference_is_known(text: str) -> None:
    assert not is_reference(text)


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        ("longshore/runner:0.1.0", "self"),
        ("longshore/sumo", "environment"),
        ("longshore/host:any", "host"),
        ("alpine:3", "host"),
        ("python", "environment"),
    ],
)
def test_shipped_images_are_found(reference: str, kind: str) -> None:
    assert find(reference, IMAGES).kind == kind


def test_an_unknown_image_says_which_there_are_and_how_to_add_one() -> None:
    with pytest.raises(UserMistake, match="longshore/sumo") as caught:
        find("nobody/nothing:1", IMAGES)
    assert caught.value.hint is not None
    assert "images.toml" in caught.value.hint


def test_requirements_of_shipped_images_are_there_and_locked_with_hashes() -> None:
    for image in IMAGES:
        if image.requirements:
            lock = (image.folder / image.requirements).read_text()
            assert "--hash=sha256:" in lock
            assert "http" not in lock


def test_a_file_of_the_users_is_read_beside_and_may_be_missing(tmp_path: Path) -> None:
    assert read(tmp_path / "images.toml") == []
    (tmp_path / "images.toml").write_text('[[image]]\nnames = ["mine"]\nkind = "host"\n')
    assert find("mine:1", read(tmp_path / "images.toml")).folder == tmp_path


@pytest.mark.parametrize("content", ["[[image]", '[[image]]\nnames = ["x"]\nkind = "docker"\n', "image = 3\n"])
def test_a_file_that_is_wrong_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "images.toml").write_text(content)
    with pytest.raises(UserMistake, match=r"images\.toml"):
        read(tmp_path / "images.toml")
