"""A file made of what it held before: nobody's change is lost, here and in a bucket."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from foundation import objects
from foundation.errors import DataError
from foundation.home import CHECKOUT
from foundation.objects import ObjectPath
from foundation.rewriting import rewrite
from tests.local_s3 import make_bucket, s3_server

# Each writer adds its lines one at a time, so that they meet.
_WRITER = """
import sys
from pathlib import Path
from foundation.objects import ObjectPath
from foundation.rewriting import rewrite
path = ObjectPath.of(sys.argv[1]) if "://" in sys.argv[1] else Path(sys.argv[1])
for i in range(int(sys.argv[3])):
    line = f"{sys.argv[2]} {i}\\n".encode()
    rewrite(path, lambda before: (before or b"") + line)
"""


def run_writers(path: object, n_lines: int) -> list[int]:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), name, str(n_lines)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        for name in ("one", "two")
    ]
    return [writer.wait(120) for writer in writers]


@pytest.fixture(scope="module")
def server():
    with s3_server():
        make_bucket("shared")
        yield


@pytest.fixture
def bucket(server, tmp_path):
    return ObjectPath.of(f"s3://shared/{tmp_path.name}")


def test_two_processes_at_once_lose_no_change_of_a_file(tmp_path):
    assert run_writers(tmp_path / "deep" / "lines", 60) == [0, 0]
    lines = (tmp_path / "deep" / "lines").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {i}" for name in ("one", "two") for i in range(60))


def test_two_processes_at_once_lose_no_change_of_an_object(bucket):
    assert run_writers(bucket / "lines", 8) == [0, 0]
    lines = (bucket / "lines").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {i}" for name in ("one", "two") for i in range(8))


def test_the_second_writer_of_a_bucket_makes_its_change_of_what_the_first_wrote(bucket):
    path = bucket / "lines"
    seen = []

    def change(before):
        seen.append(before)
        if len(seen) == 1:
            path.write_bytes(b"first\n")
        return (before or b"") + b"second\n"

    rewrite(path, change)
    assert seen == [None, b"first\n"]
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_writer_that_is_never_alone_gives_up_in_words(bucket):
    path = bucket / "lines"
    count = iter(range(1000))

    def change(before):
        path.write_bytes(f"{next(count)}".encode())
        return b"mine"

    with pytest.raises(DataError, match=r"s3://shared/.*/lines is written by others all the"):
        rewrite(path, change)


def test_what_a_change_raises_leaves_the_file_as_before(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"old")

    def refuse(before):
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        rewrite(path, refuse)
    assert path.read_bytes() == b"old"
    rewrite(path, lambda before: before + b" and new")
    assert path.read_bytes() == b"old and new"


@pytest.mark.parametrize("same", [lambda before: None, lambda before: before])
def test_nothing_new_touches_no_file(tmp_path, same):
    path = tmp_path / "lines"
    rewrite(path, same)
    assert not path.exists()
    path.write_bytes(b"old")
    before = path.stat()
    rewrite(path, same)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


def test_nothing_new_sends_nothing_to_a_bucket(bucket, monkeypatch):
    path = bucket / "lines"
    path.write_bytes(b"old")
    monkeypatch.setattr(objects.ObjectPath, "replace_content", None)
    rewrite(path, lambda before: before)
    assert path.read_bytes() == b"old"
