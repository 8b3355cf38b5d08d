"""Files as streams of bytes: hashed as they are read, uncompressed, out of archives.

A file in a zip archive is named by a path through it: ``prices.zip/AAPL.csv``.
Nothing is unpacked to the disk, and a stream that grows out of all proportion
to its file is refused, as a zip bomb would be.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from foundation.errors import DataError

ZIP_SUFFIX = ".zip"
PARQUET_SUFFIXES = (".parquet", ".pq")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_TEXT_SUFFIXES = (".csv", ".txt", ".tsv")

# Text of bars shrinks to a fifth, the plainest to a fiftieth. Deflate reaches a
# thousandth, with zeros only.
_LARGEST_RATIO = 250
_SMALLEST_BOMB = 128 << 20

_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of bars, which may lie in a zip archive.

    Attributes
    ----------
    path : Path
        Of the file, or of the archive.
    member : str
        Name within the archive; empty for a plain file.
    label : str
        How messages name it.
    """

    path: Path
    member: str
    label: str

    @property
    def suffix(self) -> str:
        """Suffix that says what the bytes are."""
        return PurePosixPath(self.member or self.path.name).suffix.lower()

    @property
    def is_parquet(self) -> bool:
        """Whether the name says Parquet."""
        return self.suffix in PARQUET_SUFFIXES


def find_file(path: Path) -> DataFile:
    """Return the one file of bars that a path names.

    Raises
    ------
    DataError
        If the path is an archive of several files, or of none.
    """
    for archive in path.parents:
        if archive.suffix.lower() == ZIP_SUFFIX and archive.is_file():
            member = path.relative_to(archive).as_posix()
            return DataFile(archive, member, f"{archive.name}/{member}")
    if path.suffix.lower() == ZIP_SUFFIX and path.is_file():
        members = list_members(path)
        if len(members) > 1:
            raise DataError(
                f"holds {len(members)} files ({', '.join(members[:8])}); state which one as "
                f"{path.name}/{members[0]}, or import all of them"
            )
        return DataFile(path, members[0], path.name)
    return DataFile(path, "", path.name)


def list_members(archive: Path) -> list[str]:
    """Return the names of the files in a zip archive, sorted.

    Raises
    ------
    DataError
        If the archive is damaged or holds no file.
    """
    with _reported(), zipfile.ZipFile(archive) as opened:
        names = sorted(
            info.filename
            for info in opened.infolist()
            if not info.is_dir() and not _is_litter(PurePosixPath(info.filename))
        )
    if not names:
        raise DataError("the archive holds no file")
    return names


def list_files(path: Path) -> list[Path]:
    """Return the files of bars of a folder and its subfolders, or of an archive, sorted.

    Raises
    ------
    DataError
        If there are none.
    """
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.is_file() and _looks_like_bars(one))
    else:
        found = [path]
    if not found:
        kinds = ", ".join((*_TEXT_SUFFIXES, *PARQUET_SUFFIXES, ZIP_SUFFIX))
        raise DataError(f"{path} holds no files of bars ({kinds}, also compressed)")
    return found


def _looks_like_bars(path: Path) -> bool:
    if _is_litter(PurePosixPath(path.name)):
        return False
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes = suffixes[:-1]
    kinds = (*_TEXT_SUFFIXES, *PARQUET_SUFFIXES, ZIP_SUFFIX)
    # Corporate actions stand beside their bars and are read with them.
    return bool(suffixes) and suffixes[-1] in kinds and not path.stem.endswith("_actions")


def _is_litter(path: PurePosixPath) -> bool:
    """Return whether a file system or an archiver put the file there for itself."""
    return path.name.startswith(".") or path.parts[0] == "__MACOSX"


class ByteStream:
    """Bytes of a file, uncompressed.

    Parameters
    ----------
    raw : binary file
        What the digest is taken of.
    compression : str or None
        Arrow's name of it.
    size : int
        Bytes on the disk, by which a bomb is known.
    """

    def __init__(self, raw: IO[bytes], compression: str | None, size: int) -> None:
        self._hashed = _HashedFile(raw)
        self._stream: Any = self._hashed
        if compression is not None:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._hashed, "r"), compression)
        self._most = max(_SMALLEST_BOMB, size * _LARGEST_RATIO)
        self._size = size
        self._n_read = 0

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, none at the end."""
        with _reported():
            content: bytes = self._stream.read(size)
        self._n_read += len(content)
        if self._n_read > self._most:
            raise DataError(
                f"grows from {self._size:,} bytes to more than {self._most:,}: a zip bomb, no bars"
            )
        return content

    def digest(self) -> str:
        """Return the sha256 of the whole file."""
        with _reported():
            while self._hashed.read(1 << 20):
                pass
        return self._hashed.sha256.hexdigest()


class _HashedFile(io.RawIOBase):
    """A file that takes the digest of what is read of it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._raw.read(size)
        self.sha256.update(content)
        return content


@contextmanager
def open_stream(file: DataFile) -> Iterator[ByteStream]:
    """Open a file for reading from its start.

    Raises
    ------
    DataError
        If it can't be read, is encrypted, damaged or cut off; also by what
        reads from the stream.
    """
    compression = _COMPRESSIONS.get(file.suffix)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(file.path.open("rb"))
            size = os.fstat(opened.fileno()).st_size
        except OSError as error:
            raise DataError(f"cannot read {file.path}: {error.strerror or error}") from error
        if not file.member:
            yield ByteStream(opened, compression, size)
            return
        if file.suffix == ZIP_SUFFIX:
            raise DataError("an archive within an archive; unpack the outer one")
        with _reported():
            archive = stack.enter_context(zipfile.ZipFile(opened))
            info = _member(archive, file)
            member = stack.enter_context(archive.open(info))
        yield ByteStream(member, compression, info.compress_size)


def _member(archive: zipfile.ZipFile, file: DataFile) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(file.member)
    except KeyError as error:
        raise DataError(f"the archive {file.path.name} holds no {file.member}") from error
    if info.flag_bits & _ENCRYPTED:
        raise DataError("the archive is encrypted; unpack it with its password first")
    return info


def file_digest(file: DataFile) -> str:
    """Return the sha256 of a file's bytes."""
    with open_stream(file) as stream:
        return stream.digest()


@contextmanager
def _reported() -> Iterator[None]:
    """Say in one line what is wrong with compressed bytes."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(f"no whole zip archive, damaged or cut off: {error}") from error
    except NotImplementedError as error:
        raise DataError(
            f"the archive is compressed in a way that can't be read: {error}"
        ) from error
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise DataError(f"cannot be uncompressed, damaged or cut off: {error}") from error
