"""Files in an object store, by the part of `pathlib.Path` that the store of bars uses.

An object is whole or absent by itself: it appears when all of it has arrived.
What a bucket lacks is a lock; in its place a file can be replaced on condition
that nobody else has replaced it (`ObjectPath.replace_content`).

Keys, region and endpoint come from where every program of that world looks for
them (``AWS_ACCESS_KEY_ID``, ``AWS_REGION``, ``AWS_ENDPOINT_URL_S3``, profiles,
roles of the machine); none of them is a setting of ours.
"""

from __future__ import annotations

import fnmatch
import functools
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import DataError

SCHEME = "s3://"
_ABSENT = ("404", "NoSuchKey", "NotFound")
_CHANGED = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")


class ContentChanged(Exception):
    """Someone else has replaced the file since its version was read."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What a listing says of an object; named as `os.stat_result` names it."""

    st_size: int
    st_mtime_ns: int


@functools.cache
def _client() -> Any:
    import boto3
    from botocore.config import Config

    # Adaptive: a bucket that asks to slow down is asked less often.
    retries: Any = {"mode": "adaptive", "max_attempts": 8}
    return boto3.client("s3", config=Config(retries=retries, max_pool_connections=32))


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """A file, or a folder of files, in a bucket.

    Attributes
    ----------
    bucket : str
    key : str
        Without a slash at either end.

    Examples
    --------
    >>> str(ObjectPath.of("s3://firm/bars/") / "AAPL" / "series.json")
    's3://firm/bars/AAPL/series.json'
    """

    bucket: str
    key: str

    @classmethod
    def of(cls, url: str) -> ObjectPath:
        """Return the path of a URL ``s3://bucket/folder``; DataError for any other."""
        match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", url)
        if match is None:
            raise DataError(f"an object store is named as s3://bucket/folder, got {url!r}")
        return cls(match[1], (match[2] or "").strip("/"))

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    def __truediv__(self, part: str) -> ObjectPath:
        return ObjectPath(self.bucket, f"{self.key}/{part}" if self.key else part)

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self) -> ObjectPath:
        """The folder."""
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def absolute(self) -> ObjectPath:
        """Return the path itself, which is always absolute."""
        return self

    def exists(self) -> bool:
        """Return whether there is such a file."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def stat(self) -> ObjectStat:
        """Return size and time of change; FileNotFoundError if absent."""
        with _told(self):
            found = _client().head_object(Bucket=self.bucket, Key=self.key)
        return ObjectStat(found["ContentLength"], int(found["LastModified"].timestamp() * 1e9))

    def read_bytes(self) -> bytes:
        """Return the content; FileNotFoundError if absent."""
        return self.read_version()[0]

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the content as text; FileNotFoundError if absent."""
        return self.read_bytes().decode(encoding)

    def read_version(self) -> tuple[bytes, str]:
        """Return the content and what names this version of it."""
        with _told(self):
            answer = _client().get_object(Bucket=self.bucket, Key=self.key)
            return answer["Body"].read(), answer["ETag"]

    def write_bytes(self, content: bytes) -> None:
        """Write the file whole, in the place of the one before."""
        with _told(self):
            _client().put_object(Bucket=self.bucket, Key=self.key, Body=content)

    def replace_content(self, content: bytes, version: str | None) -> None:
        """Write the file if it is still of the version that was read.

        Parameters
        ----------
        version : str or None
            As `read_version` named it; None if there was no file.

        Raises
        ------
        ContentChanged
            If someone else was faster; nothing is written.
        """
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        with _told(self):
            _client().put_object(Bucket=self.bucket, Key=self.key, Body=content, **condition)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file; a bucket doesn't say whether there was one."""
        if not missing_ok:
            self.stat()
        with _told(self):
            _client().delete_object(Bucket=self.bucket, Key=self.key)

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yield the files below that fit a pattern such as ``bars/*/*/series.json``."""
        for path, _ in self.glob_versions(pattern):
            yield path

    def glob_versions(self, pattern: str) -> Iterator[tuple[ObjectPath, str]]:
        """Yield the files that fit a pattern, and what names the version of each."""
        folder = f"{self.key}/" if self.key else ""
        wanted = pattern.split("/")
        literal = "/".join([*_literal_parts(wanted), ""]) if _literal_parts(wanted) else ""
        start = re.split(r"[*?\[]", wanted[len(_literal_parts(wanted))], maxsplit=1)[0]
        with _told(self):
            pages = _client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=f"{folder}{literal}{start}"):
                for found in page.get("Contents", ()):
                    parts = found["Key"][len(folder) :].split("/")
                    if len(parts) == len(wanted) and all(
                        fnmatch.fnmatchcase(part, want)
                        for part, want in zip(parts, wanted, strict=True)
                    ):
                        yield ObjectPath(self.bucket, found["Key"]), found["ETag"]

    def access(self) -> dict[str, str]:
        """Return keys, region and endpoint that the bucket is reached with, for other libraries.

        Under the names endpoint_url, region, access_key_id, secret_access_key
        and session_token; keys that there are none of are left out.
        """
        import boto3

        found = {
            "endpoint_url": str(_client().meta.endpoint_url),
            "region": str(_client().meta.region_name),
        }
        keys = boto3.Session().get_credentials()
        if keys is not None:
            frozen = keys.get_frozen_credentials()
            found |= {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key}
            if frozen.token:
                found["session_token"] = frozen.token
        return found

    def arrow_filesystem(self) -> Any:
        """Return Arrow's own file system for the bucket."""
        from pyarrow import fs

        access = self.access()
        return fs.S3FileSystem(
            access_key=access.get("access_key_id"),
            secret_key=access.get("secret_access_key"),
            session_token=access.get("session_token"),
            region=access["region"],
            endpoint_override=access["endpoint_url"],
        )

    def open(self) -> io.BytesIO:
        """Return the content as a file to read."""
        return io.BytesIO(self.read_bytes())


Place = Path | ObjectPath
"""Where files are: a folder of this machine or of a bucket."""


def _literal_parts(wanted: list[str]) -> list[str]:
    """Return the folders that a pattern begins with; the last part is never one of them."""
    literal = []
    for part in wanted[:-1]:
        if any(sign in part for sign in "*?["):
            break
        literal.append(part)
    return literal


@contextmanager
def _told(path: ObjectPath) -> Iterator[None]:
    """Say what a bucket refuses in one line, with the path."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            raise FileNotFoundError(2, "no such object", str(path)) from error
        if code in _CHANGED:
            raise ContentChanged(str(path)) from error
        raise DataError(f"{path}: the object store refuses: {error}") from error
    except BotoCoreError as error:
        raise DataError(f"{path}: the object store can't be reached: {error}") from error
