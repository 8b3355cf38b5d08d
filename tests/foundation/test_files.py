"""A file or folder is whole or absent, whatever happens while it is written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import foundation.files
from foundation.errors import DataError
from foundation.files import atomic_directory, atomic_file, write_bytes, write_text

OLD, NEW = b"old content", b"new content" * 1000


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _run(program: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_written_file_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "summary.json"
    write_bytes(path, OLD)
    write_bytes(path, NEW)
    assert path.read_bytes() == NEW
    assert _names(path.parent) == ["summary.json"]


def test_reader_of_the_old_file_goes_on_reading_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, OLD)
    with path.open("rb") as reader:
        write_bytes(path, NEW)
        assert reader.read() == OLD
    assert path.read_bytes() == NEW


def test_text_is_utf8_with_its_line_ends_untouched(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "Zürich\r\n2 × 2\n")
    assert (tmp_path / "a").read_bytes() == b"Z\xc3\xbcrich\r\n2 \xc3\x97 2\n"


def test_new_file_has_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", NEW)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_error_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, OLD)

    def write_half() -> None:
        with atomic_file(path) as partial:
            partial.write_bytes(NEW[:10])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == OLD
    assert _names(tmp_path) == ["a"]


def test_block_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, OLD)
    with pytest.raises(DataError, match="nothing was written"), atomic_file(path):
        pass
    assert path.read_bytes() == OLD


# RLIMIT_FSIZE makes the kernel refuse every byte past the limit, as a full disk does.
_LIMITED = """
import resource, sys; from pathlib import Path
from foundation.errors import DataError
from foundation.files import atomic_directory, write_bytes
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    {body}
except DataError as error:
    print(error)
else:
    print("no error")
"""


def test_full_disk_keeps_the_old_file_and_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, OLD)
    done = _run(_LIMITED.format(body="write_bytes(path, b'x' * 100_000)"), path)
    expected = f"no space left to write {path}; what was stored before is unchanged\n"
    assert (done.stdout, done.stderr) == (expected, "")
    assert path.read_bytes() == OLD
    assert _names(tmp_path) == ["a"]


def test_full_disk_keeps_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "result"
    with atomic_directory(path) as partial:
        (partial / "summary.json").write_bytes(OLD)
    body = """with atomic_directory(path) as partial:
        (partial / 'summary.json').write_bytes(b'new')
        (partial / 'trades.parquet').write_bytes(b'x' * 100_000)"""
    done = _run(_LIMITED.format(body=body), path)
    assert done.stdout.startswith(f"no space left to write {path}"), done.stderr
    assert _content(path) == {"summary.json": OLD}
    assert _names(tmp_path) == ["result"]


def test_full_disk_that_a_library_reports_only_as_text_is_recognised(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="no space left to write"),
        atomic_file(tmp_path / "a"),
    ):
        raise RuntimeError("parquet: write failed: No space left on device (os error 28)")


def test_error_of_the_device_itself_is_recognised(tmp_path: Path) -> None:
    def write_to_full_device() -> None:
        with atomic_file(tmp_path / "a"), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(DataError, match="no space left to write"):
        write_to_full_device()


def test_folder_that_can_not_be_written_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot write .*/a/b: .*; what was stored before"):
        write_bytes(tmp_path / "a" / "b", NEW)


def test_other_error_of_the_operating_system_in_the_block_passes(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), atomic_file(tmp_path / "a"):
        raise ConnectionResetError("the source hung up")


_KILLED_IN_FILE = """
import os, signal, sys; from pathlib import Path
from foundation.files import atomic_file
with atomic_file(Path(sys.argv[1])) as partial:
    partial.write_bytes(b'half')
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_writer_killed_in_the_middle_leaves_the_old_file_and_the_next_one_cleans_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a"
    write_bytes(path, OLD)
    assert _run(_KILLED_IN_FILE, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == OLD
    assert len(_names(tmp_path)) == 2
    write_bytes(path, NEW)
    assert path.read_bytes() == NEW
    assert _names(tmp_path) == ["a"]


_KILLED_AT_EACH_STEP = """
import os, signal, sys; from pathlib import Path
import foundation.files as files
step = int(sys.argv[2])
def counted(call):
    def wrapped(*arguments, **options):
        global step
        step -= 1
        if step < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapped
for name in ("fsync", "rename", "replace", "unlink", "rmdir", "open"):
    setattr(os, name, counted(getattr(os, name)))
files._exchange = counted(files._exchange)
with files.atomic_directory(Path(sys.argv[1])) as partial:
    (partial / "one").write_bytes(b"new one")
    (partial / "two").write_bytes(b"new two")
"""


def test_writer_killed_at_any_step_leaves_a_folder_that_is_all_old_or_all_new(
    tmp_path: Path,
) -> None:
    old = {"one": b"old one", "three": b"old three"}
    new = {"one": b"new one", "two": b"new two"}
    seen = []
    for step in range(100):
        path = tmp_path / str(step) / "result"
        with atomic_directory(path) as partial:
            for name, content in old.items():
                (partial / name).write_bytes(content)
        done = _run(_KILLED_AT_EACH_STEP, path, Path(str(step)))
        seen.append(_content(path))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    n_old, n_new = seen.count(old), seen.count(new)
    assert n_old + n_new == len(seen)
    assert n_old >= 3
    assert n_new >= 2
    assert seen == [old] * n_old + [new] * n_new


def test_folder_is_replaced_also_where_names_can_not_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foundation.files, "_exchange", lambda one, other: False)
    path = tmp_path / "result"
    for content in (OLD, NEW):
        with atomic_directory(path) as partial:
            (partial / "a").write_bytes(content)
    assert _content(path) == {"a": NEW}
    assert _names(tmp_path) == ["result"]


def test_partial_of_a_living_writer_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic_file(path) as outer:
        outer.write_bytes(OLD)
        write_bytes(path, NEW)
        assert outer.read_bytes() == OLD
    assert path.read_bytes() == OLD


def test_partial_of_another_machine_stays_until_it_is_a_day_old(tmp_path: Path) -> None:
    partial = tmp_path / ".a.another-machine-1-0123abcd.partial"
    partial.write_bytes(b"half")
    write_bytes(tmp_path / "a", NEW)
    assert partial.exists()
    two_days_ago = time.time() - 2 * 86_400
    os.utime(partial, (two_days_ago, two_days_ago))
    write_bytes(tmp_path / "a", NEW)
    assert not partial.exists()
