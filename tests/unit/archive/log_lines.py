"""A log as a kubelet sends it, its collectors, and what of it must be read back whatever they do."""

from __future__ import annotations

from longshore.archive.log_chunk import Chunk, lines_begun


def stamped(texts: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Each line with a time of its own."""
    return [(b"2026-11-28T12:%02d:%02d.%09dZ" % (n // 60 % 60, n % 60, n), text) for n, text in enumerate(texts)]


def chunk(lines: list[tuple[bytes, bytes]], start: int, end: int) -> Chunk:
    """The bytes of these lines from `start` to `end`, as a collector makes a chunk of them."""
    text = b"".join(text for _, text in lines)
    at, begins = 0, []
    for _, line in lines:
        begins.append(at)
        at += len(line)
    within = start > 0 and start not in begins and start < len(text)
    before = [time for (time, _), begin in zip(lines, begins, strict=True) if begin < start]
    made = Chunk(
        start=start,
        text=text[start:end],
        times=[time for (time, _), begin in zip(lines, begins, strict=True) if start <= begin < end],
        within=within,
        since=before[-1] if before else b"",
    )
    assert lines_begun(made.text, made.within) == len(made.times)
    return made
