"""The folder of compiled kernels: one for each state of the core's sources.

numba's file cache looks only at the file of the compiled function itself, so
after an edit of a function that it calls in another file it goes on with the
old machine code. The folder's name is therefore a hash of all that goes into
the machine code: the kernels' sources with all that they import, the versions
of Python and numba, and the CPU. Must stay importable without numba.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from foundation.home import CHECKOUT, data_home

# With a literal beginning, which makes the search ten times as fast.
_FROM = re.compile(rb"from (trading[\w.]*) import (.+)")
_IMPORT = re.compile(rb"import (trading[\w.]*)()")
# What a file shows that defines a kernel: numba's decorator, or ours in `trading.compiling`.
_MARKS = (b"njit", b"kernel\ndef ", b"kernel(")
_N_CACHES_KEPT = 3


def use_kernel_cache(home: Path) -> Path:
    """Point numba at the folder of compiled kernels that fits the sources.

    Call it before anything imports numba; child processes inherit the choice.

    Parameters
    ----------
    home : Path
        The data home; the folder is ``<home>/kernels/<hash>``. It is made by
        numba when it first writes there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RuntimeError
        If numba was imported already with another folder: its kernels would
        be compiled anew, or worse, read from a cache that is out of date.
    """
    folder = Path(home).absolute() / "kernels" / kernel_hash()
    config = sys.modules.get("numba.core.config")
    if config is not None and str(folder) != config.CACHE_DIR:
        raise RuntimeError(
            f"use_kernel_cache must be called before numba is imported: numba has the cache "
            f"{config.CACHE_DIR or 'beside the sources'}, required is {folder}"
        )
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


def kernel_hash(checkout: Path = CHECKOUT) -> str:
    """Return the hash (16 hex digits) of all that the machine code depends on.

    Parameters
    ----------
    checkout : Path
        The folder that holds the package ``trading``.
    """
    digest = hashlib.sha256()
    for part in (sys.version, _version("numba"), _version("llvmlite"), _cpu()):
        digest.update(part.encode() + b"\0")
    for name, source in sorted(_kernel_sources(checkout).items()):
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()[:16]


def remove_stale_kernels(home: Path) -> int:
    """Delete all but the newest folders of compiled kernels.

    Returns
    -------
    int
        How many were deleted. The folder in use is always kept.
    """
    import shutil

    in_use = kernel_hash()
    folders = [path for path in (Path(home) / "kernels").glob("*") if path.is_dir()]
    folders.sort(key=lambda path: (path.name == in_use, path.stat().st_mtime), reverse=True)
    for stale in folders[_N_CACHES_KEPT:]:
        shutil.rmtree(stale, ignore_errors=True)
    return len(folders[_N_CACHES_KEPT:])


def _kernel_sources(checkout: Path) -> dict[str, bytes]:
    """Return the files of `trading` that have to do with kernels, and what these import.

    A module without a kernel counts when a kernel's module imports it: numba
    freezes its constants into the machine code. The others (the document's
    checks, say) don't, so editing them costs no compilation.
    """
    sources = {
        path.relative_to(checkout).as_posix(): path.read_bytes()
        for path in (checkout / "trading").rglob("*.py")
    }
    pending = [name for name, source in sources.items() if any(mark in source for mark in _MARKS)]
    needed: set[str] = set()
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        for module, names in _FROM.findall(sources[name]) + _IMPORT.findall(sources[name]):
            pending += _files_of(module.decode(), names.decode(), sources)
    return {name: sources[name] for name in needed}


def _files_of(module: str, names: str, sources: dict[str, bytes]) -> list[str]:
    path = module.replace(".", "/")
    if f"{path}.py" in sources:
        return [f"{path}.py"]
    members = [f"{path}/{name.split()[0]}.py" for name in names.split(",") if name.split()]
    if members and all(member in sources for member in members):
        return [f"{path}/__init__.py", *members] if f"{path}/__init__.py" in sources else members
    # Names that the package itself defines, or a list over several lines: take it whole.
    return [name for name in sources if name.startswith(f"{path}/")]


def _version(package: str) -> str:
    """Return the name of an installed package's metadata, which has its version.

    Looked up without importing the package, and without `importlib.metadata`,
    whose import alone takes longer than all else here.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed; run `make setup`")
    found = sorted(Path(spec.origin).parent.parent.glob(f"{package}-*.dist-info"))
    return " ".join(path.name for path in found)


def _cpu() -> str:
    """Name the CPU and its instructions, which numba compiles for."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return " ".join(os.uname()[3:])
    first = text.split("\n\n", 1)[0]
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(line for line in first.splitlines() if line.startswith(wanted))


def main() -> None:
    """Compile all kernels into the folder that fits the sources; set-up runs this."""
    use_kernel_cache(data_home())
    remove_stale_kernels(data_home())
    import runpy

    runpy.run_module("trading.warm", run_name="__main__")


if __name__ == "__main__":
    main()
