"""Throw-away environments for the peers, made by the benchmark itself.

A peer is installed from its pins into ``<data home>/bench/<peer>/`` and called
only as a separate program there. Some carry licences (GPL, AGPL) that the
product must not link with, others want versions of numpy or pandas that it
doesn't have. Deleting the folder is always safe.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from foundation.home import CHECKOUT, data_home

_PINS = CHECKOUT / "bench" / "peers"


class PeerMissing(Exception):
    """A peer could not be installed; the message says what the installer said."""


def peer_python(peer: str) -> Path:
    """Return the interpreter of a peer's environment, made first when needed.

    Parameters
    ----------
    peer : str
        The name of ``bench/peers/<peer>.txt``.

    Raises
    ------
    PeerMissing
        If no Python on this machine could take it.
    """
    folder = data_home() / "bench" / peer
    python = folder / "bin" / "python"
    pins = (_PINS / f"{peer}.txt").read_text()
    done = folder / "installed.txt"
    if python.exists() and done.exists() and done.read_text() == pins:
        return python
    failures = []
    for base in _pythons():
        print(f"installing {peer} into {folder} with {base.name}", file=sys.stderr)
        failure = _install(folder, base, _PINS / f"{peer}.txt")
        if not failure:
            done.write_text(pins)
            return python
        failures.append(f"{base}: {failure}")
    raise PeerMissing(f"{peer} can't be installed:\n" + "\n".join(failures))


def peer_version(peer: str) -> str:
    """Return name and version of a peer as its pins state them."""
    for line in (_PINS / f"{peer}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            return line.replace("==", " ")
    raise PeerMissing(f"bench/peers/{peer}.txt pins nothing")


def _install(folder: Path, base: Path, pins: Path) -> str:
    """Make the environment; return what went wrong, or nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    for command in (
        [uv, "venv", "--quiet", "--python", str(base), str(folder)],
        [
            *(uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")),
            *("--requirement", str(pins)),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip()
    return ""


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise PeerMissing("uv is needed to install peers; `make setup` brings it")
    return found


def _pythons() -> list[Path]:
    """Return interpreters to try: the running one's base, then any 3.12.

    uv doesn't find a Python that only pyenv knows, so pyenv's folders are
    looked through here; a shim of an inactive version exits with an error and
    is left out.
    """
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.base_prefix) / "bin" / running]
    on_path = shutil.which("python3.12")
    if on_path:
        candidates.append(Path(on_path))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(pyenv.glob("3.12*/bin/python3.12"), reverse=True)
    return [path for path in candidates if path.exists() and _works(path)]


def _works(python: Path) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
