"""How wheels are packed. tests/cluster/test_wheel.py installs them and starts a cluster from them."""

import shutil
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from deploy import licences, wheels
from deploy.licences import Package

from longshore.cluster import versions
from longshore.cluster.program import HERE, Program
from longshore.errors import LongshoreError, UserMistake


@pytest.fixture
def built(tmp_path: Path) -> Path:
    path = tmp_path / "build"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("platform", wheels.TAGS)
def test_the_same_content_is_the_same_bytes(built: Path, tmp_path: Path, platform: str) -> None:
    program = versions.control_planes()[0]
    first = wheels.pack(program, platform, built, "terms", tmp_path / "first")
    built.touch()
    second = wheels.pack(program, platform, built, "terms", tmp_path / "second")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_a_wheel_holds_a_binary_that_may_be_run_and_says_for_which_platform_and_of_which_sources(
    built: Path, tmp_path: Path
) -> None:
    program = versions.control_planes()[0]
    wheel = wheels.pack(program, "darwin/arm64", built, "terms", tmp_path)
    assert wheel.name == f"longshore_controlplane-{program.wheel}-py3-none-macosx_12_0_arm64.whl"
    machine, _ = wheels.TAGS["darwin/arm64"]
    with ZipFile(wheel) as archive:
        assert archive.getinfo("longshore_controlplane/longshore-controlplane").external_attr >> 16 & 0o777 == 0o755
        assert archive.read("longshore_controlplane/digest").decode() == f"{program.digest(machine)}\n"
        info = f"longshore_controlplane-{program.wheel}.dist-info"
        assert archive.read(f"{info}/licenses/{wheels.THIRD_PARTIES}") == b"terms"
        assert "Root-Is-Purelib: false\nTag: py3-none-macosx_12_0_arm64\n" in archive.read(f"{info}/WHEEL").decode()


async def test_a_platform_that_there_is_not_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="plan9/mips: no such platform") as caught:
        await wheels.build(["linux/amd64", "plan9/mips"], tmp_path)
    assert caught.value.hint == "There are: linux/amd64, linux/arm64, darwin/arm64."


@pytest.mark.skipif(sys.platform != "linux", reason="says what Linux machines are called")
def test_this_machine_has_a_platform() -> None:
    assert wheels.TAGS[wheels.here()][0] == HERE


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_each_text_stands_once_below_all_it_belongs_to_also_of_parts_of_a_module(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", {"LICENSE": "be kind\n", "NOTICE": "by One", "third/forked/COPYING": "be kinder"})
    two = tree(tmp_path / "two", {"LICENCE": "be kind", "other/LICENSE": "of a package that is not linked"})
    forked = one / "third" / "forked"
    packages = [Package("two v2", two, two), Package("one v1", one, forked), Package("one v1", one, one)]
    text = licences.collect(packages)
    rule = licences.RULE
    chapters = [("one v1", "by One"), ("one v1 (third/forked)", "be kinder"), ("one v1\ntwo v2", "be kind")]
    expected = [f"\n{rule}\n{names}\n{rule}\n\n{terms}\n" for names, terms in sorted(chapters)]
    assert text == licences.HEAD + "".join(expected)
    assert licences.collect(packages[::-1]) == text


def test_what_has_no_licence_is_not_shipped(tmp_path: Path) -> None:
    bare = tree(tmp_path / "bare", {"README": ""})
    with pytest.raises(LongshoreError, match="No licence was found of bare v1"):
        licences.collect([Package("bare v1", bare, bare)])


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go on PATH")
def test_what_is_linked_is_known_to_the_package_and_what_is_ours_is_left_out(tmp_path: Path) -> None:
    files = {
        "go.mod": "module own\ngo 1.25\nrequire example.com/dep v1.0.0\nreplace example.com/dep => ./dep\n",
        "main.go": 'package main\nimport "example.com/dep/used"\nfunc main() { used.Do() }\n',
        "dep/go.mod": "module example.com/dep\ngo 1.25\n",
        "dep/used/it.go": "package used\nfunc Do() {}\n",
        "dep/unused/it.go": "package unused\nfunc Do() {}\n",
    }
    own = tree(tmp_path / "own", files)
    go = Path(shutil.which("go") or "")
    library, *others = licences.linked(go, Program("own", "our own", "1", own / "go.mod"), HERE)
    assert (library.root / "LICENSE").exists()
    assert others == [Package("./dep", own / "dep", own / "dep" / "used")]
