from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.errors import BadUpload, TooLarge
from longshore.kinds.simulations import scenario, upload

if TYPE_CHECKING:
    from tests.unit.kinds.simulations.conftest import Pack


def refused(file: io.BytesIO, said: str) -> BadUpload:
    with pytest.raises(BadUpload, match=said) as caught:
        scenario.inspect(file)
    assert caught.value.hint
    assert caught.value.field == "sumo_files"
    return caught.value


def entry(name: str, *, mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, method
    return info


def rewritten(file: io.BytesIO, old: bytes, new: bytes) -> io.BytesIO:
    """The ZIP with bytes changed wherever they stand, such as a name in both of its headers."""
    assert len(old) == len(new)
    assert old in file.getvalue()
    return io.BytesIO(file.getvalue().replace(old, new))


def central(file: io.BytesIO, name: str, offset: int, value: bytes) -> io.BytesIO:
    """The ZIP with one field of an entry's central header changed: APPNOTE 4.3.12."""
    content = bytearray(file.getvalue())
    at = content.rindex(name.encode()) - 46 + offset
    content[at : at + len(value)] = value
    return io.BytesIO(bytes(content))


def test_a_good_scenario_is_taken(pack: Pack) -> None:
    found = scenario.inspect(pack({"./data/x.xml": "<a/>", "empty/": ""}))
    assert (found.config, found.files) == ("town.sumocfg", 4)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04 not really", b"PK\x05\x06" + bytes(18) + b"trailing garbage" * 10_000]
)
def test_what_is_no_zip_is_said(content: bytes) -> None:
    refused(io.BytesIO(content), "is not a ZIP|no .sumocfg")


def test_a_zip_without_its_end_is_no_zip(pack: Pack) -> None:
    refused(io.BytesIO(pack().getvalue()[:-30]), "is not a ZIP")


def test_a_zip_over_the_size_is_too_large_and_says_by_how_much(pack: Pack) -> None:
    file = pack({entry("x", method=zipfile.ZIP_STORED): bytes(1_200_000)})
    with pytest.raises(TooLarge, match=r"the ZIP has 1\.2 MB, at most 1 MB are taken"):
        scenario.inspect(file, max_bytes=10**6)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "..", "a/../b", "."])
def test_an_entry_that_would_leave_its_folder_is_named(pack: Pack, name: str) -> None:
    assert repr(name) in refused(pack({name: "evil"}), "would leave its folder").message


@pytest.mark.parametrize("name", ["/etc/passwd", "//etc/passwd", "a//etc/passwd", "C:/x", "a/C:/x", "//host/share"])
def test_an_absolute_path_also_a_nested_one_is_named(pack: Pack, name: str) -> None:
    assert repr(name) in refused(pack({name: "evil"}), "has an absolute path").message


def test_backslashes_are_refused(pack: Pack) -> None:
    refused(pack({"..\\..\\x": "evil"}), "has backslashes in its name")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "x" * 600, "a‮b"])
def test_names_that_would_mislead_a_reader_are_refused(pack: Pack, name: str) -> None:
    error = refused(pack({name: "x"}), "too long or not printable")
    assert error.message.isprintable()
    assert len(error.message) < 300


def test_a_name_cut_short_by_a_nul_is_refused(pack: Pack) -> None:
    refused(rewritten(pack({"a.txtX.exe": "x"}), b"a.txtX.exe", b"a.txt\0.exe"), "not printable")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_special_files_are_named(pack: Pack, mode: int) -> None:
    refused(pack({entry("town.link", mode=mode): "/etc/passwd"}), "'town.link' in the ZIP is a link or a special file")


def test_an_encrypted_entry_is_named(pack: Pack) -> None:
    refused(central(pack(), "town.rou.xml", 8, b"\x01\x00"), r"'town\.rou\.xml' in the ZIP is encrypted")


def test_a_packing_method_that_costs_memory_is_refused(pack: Pack) -> None:
    refused(pack({entry("x.xml", method=zipfile.ZIP_LZMA): "x"}), "'x.xml' in the ZIP is packed by a method")


def test_a_wrong_checksum_is_named(pack: Pack) -> None:
    refused(central(pack(), "town.net.xml", 16, b"\0\1\2\3"), r"'town\.net\.xml' in the ZIP is damaged: Bad CRC-32")


def test_damaged_bytes_are_named(pack: Pack) -> None:
    file = pack({"town.net.xml": bytes(range(256)) * 40})
    content = bytearray(file.getvalue())
    at = content.index(b"town.net.xml") + 12 + 40
    content[at : at + 4] = b"\xff\xff\xff\xff"
    refused(io.BytesIO(bytes(content)), r"'town\.net\.xml' in the ZIP is damaged")


@pytest.mark.parametrize(
    ("declared", "said"), [(3, "damaged: Bad CRC-32"), (7000, "has 6 bytes and says 7000|Bad CRC")]
)
def test_a_size_other_than_declared_is_named(pack: Pack, declared: int, said: str) -> None:
    refused(central(pack(), "town.net.xml", 24, struct.pack("<L", declared)), said)


def test_a_local_header_with_another_name_is_named(pack: Pack) -> None:
    content = pack().getvalue()
    at = content.index(b"town.net.xml")
    changed = content[:at] + b"evil.net.xml" + content[at + 12 :]
    refused(io.BytesIO(changed), r"'town\.net\.xml' in the ZIP is damaged: File name in directory")


def test_a_bomb_is_named_before_it_goes_off(pack: Pack) -> None:
    refused(pack({"bomb.xml": bytes(20 * 1024**2)}), r"'bomb\.xml' in the ZIP unpacks to more than 200 times")


def test_small_files_may_be_packed_tightly(pack: Pack) -> None:
    scenario.inspect(pack({"zeros.xml": bytes(1024**2)}))


def test_many_files_that_together_are_a_bomb_are_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_UNPACKED_BYTES", 100_000)
    refused(pack({f"{n}.xml": bytes(30_000) for n in range(4)}), r"unpacks to more than .* reached at '3\.xml'")


def test_entries_that_share_their_bytes_are_refused(pack: Pack) -> None:
    """A bomb of overlapping entries: many names, one body (bamsoftware.com/hacks/zipbomb)."""
    file = pack({"a.xml": b"x" * 1000, "b.xml": b"x" * 1000})
    with zipfile.ZipFile(file) as archive:
        offset = archive.getinfo("a.xml").header_offset
    refused(central(file, "b.xml", 42, struct.pack("<L", offset)), "in the ZIP overlaps another entry")


def test_an_entry_longer_than_the_zip_is_refused(pack: Pack) -> None:
    refused(central(pack(), "town.rou.xml", 20, struct.pack("<L", 10**9)), "is longer than the ZIP itself|overlaps")


def test_too_many_entries_are_refused_before_they_are_read(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_ENTRIES", 10)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    file = io.BytesIO(b"".join(b"PK\x01\x02" + bytes(42) for _ in range(11)))
    refused(file, "the ZIP has 11 entries, at most 10")


def test_entries_are_counted_across_the_borders_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_ENTRIES", 2)
    monkeypatch.setattr(upload, "_BLOCK", 7)
    with pytest.raises(BadUpload, match="has 3 entries"):
        upload.check_entries(io.BytesIO(b"PK\x01\x02..." * 3))


def test_two_entries_of_one_name_are_refused(pack: Pack) -> None:
    file = pack()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("./town.net.xml", "another")
    refused(file, r"two entries named 'town\.net\.xml'")


def test_a_file_that_is_also_a_folder_is_refused(pack: Pack) -> None:
    refused(pack({"town.net.xml/inner": "x"}), r"'town\.net\.xml' in the ZIP is a file and a folder at once")


@given(st.text(min_size=1, max_size=30))
def test_whatever_the_name_it_is_safe_or_refused(name: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        try:
            archive.writestr(name, b"x")
        except (UnicodeEncodeError, IndexError):  # zipfile does not write such a name
            return
    size = len(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        try:
            paths = upload.checked_files(archive, size)
        except BadUpload:
            return
    for path in paths:
        parts = path.split("/")
        assert ".." not in parts
        assert "" not in parts
        assert path.isprintable()
