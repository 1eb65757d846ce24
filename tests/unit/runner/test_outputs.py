from __future__ import annotations

import os
from pathlib import Path

import pytest

from longshore.runner import outputs as module
from longshore.runner.outputs import Output, collect, open_output


@pytest.fixture
def tree(workspace: Path) -> Path:
    for name in ("a.csv", "b.csv", "out/a.csv", "out/deep/c.csv", "out/d[1].txt", ".hidden.csv", "out/.cache/e.csv"):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return workspace


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("./a.csv", ["a.csv"]),
        ("*.csv", ["a.csv", "b.csv"]),
        ("[!a].csv", ["b.csv"]),
        ("[a-b].csv", ["a.csv", "b.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("out", ["out/.cache/e.csv", "out/a.csv", "out/d[1].txt", "out/deep/c.csv"]),
        ("out/", ["out/.cache/e.csv", "out/a.csv", "out/d[1].txt", "out/deep/c.csv"]),
        ("out/*", ["out/a.csv", "out/d[1].txt"]),
        ("out/**", ["out/a.csv", "out/d[1].txt", "out/deep/c.csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "out/a.csv", "out/deep/c.csv"]),
        ("**/deep/*", ["out/deep/c.csv"]),
        (".hidden.csv", [".hidden.csv"]),
        (".*.csv", [".hidden.csv"]),
        ("out/d[[]1].txt", ["out/d[1].txt"]),
        ("*", ["a.csv", "b.csv"]),
    ],
)
def test_globs_match_as_in_a_shell(tree: Path, glob: str, names: list[str]) -> None:
    collected = collect(tree, [glob])
    assert sorted(output.name for output in collected.files) == names
    assert collected.complaints == ()


def test_a_path_within_the_workspace_may_be_absolute(tree: Path) -> None:
    assert [output.name for output in collect(tree, [f"{tree}/out/*.csv"]).files] == ["out/a.csv"]


@pytest.mark.parametrize("glob", ["/etc/passwd", "../x", "out/../../x", "", "/", "."])
def test_a_glob_that_points_elsewhere_is_complained_about(tree: Path, glob: str) -> None:
    assert collect(tree, [glob]) == ((), (f"{glob!r} is not inside the workspace",))


def test_a_glob_without_a_match_is_named_and_each_file_comes_once(tree: Path) -> None:
    collected = collect(tree, ["a.csv", "*.png", "?.csv"])
    assert [output.name for output in collected.files] == ["a.csv", "b.csv"]
    assert collected.complaints == ("no file matches '*.png'",)


def test_what_is_no_glob_or_no_name_is_said(tree: Path) -> None:
    (tree / os.fsdecode(b"caf\xe9.csv")).touch()
    collected = collect(tree, ["[z-a].csv", "caf*"])
    assert collected.files == ()
    assert collected.complaints == ("'[z-a].csv' is no glob", r"'caf\udce9.csv' is no UTF-8")


def test_smaller_files_come_first(tree: Path) -> None:
    (tree / "a.csv").write_text("long" * 100)
    assert [output.name for output in collect(tree, ["*.csv"]).files] == ["b.csv", "a.csv"]


def test_links_out_of_the_workspace_are_named_and_never_read(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/token").write_text("secret")
    (tree / "token.csv").symlink_to(tmp_path / "secrets/token")
    (tree / "folder").symlink_to(tmp_path / "secrets")
    (tree / "loop.csv").symlink_to(tree / "loop.csv")
    collected = collect(tree, ["token.csv", "folder/token", "**/token", "loop.csv"])
    assert collected.files == ()
    assert set(collected.complaints) == {
        "'token.csv' leads out of the workspace",
        "no file matches 'folder/token'",
        "no file matches '**/token'",
        "'loop.csv' is a link to nowhere",
    }


def test_a_link_to_a_file_of_the_workspace_is_that_file(tree: Path) -> None:
    (tree / "latest").symlink_to("out/deep/c.csv")
    (output,) = collect(tree, ["latest"]).files
    assert (output.name, output.path, output.size) == ("latest", tree / "out/deep/c.csv", 14)


def test_a_fifo_is_not_waited_for(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert collect(tree, ["pipe"]) == ((), ("'pipe' is not a plain file",))


def test_a_file_that_became_a_link_is_not_opened(tree: Path) -> None:
    (tree / "link").symlink_to("a.csv")
    with pytest.raises(OSError, match="symbolic link"):
        open_output(Output("link", tree / "link", 1))


def test_too_many_files_are_cut_and_said(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 1)
    collected = collect(tree, ["*.csv"])
    assert len(collected.files) == 1
    assert collected.complaints == ("2 files match, 1 are kept; pack them into one",)
