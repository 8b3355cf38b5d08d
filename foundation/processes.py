"""Processes by a name that no other process gets: machine, number and moment of its start.

The number alone is given to another process sooner or later. Whoever records
that work has begun records this name too, so that the record of a process
that was killed can be closed.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_N_BOOT_DIGITS = 8
# After the command's name, which may hold anything: state, then 18 others, then the start.
_I_STATE, _I_START = 0, 19
_DEAD_STATES = ("Z", "X")
_UNTOLD = "-"


def this_process() -> str:
    """Return the name of the calling process, such as ``host 4711 1f0c22aa.83522``."""
    return f"{socket.gethostname()} {os.getpid()} {moment_of(os.getpid()) or _UNTOLD}"


def is_alive(process: str) -> bool | None:
    """Return whether a process runs; None when it is one of another machine.

    Parameters
    ----------
    process : str
        As `this_process` returned it.

    Raises
    ------
    ValueError
        If the text is no such name.
    """
    parts = process.split(" ")
    if len(parts) != 3 or not parts[1].isdigit():
        raise ValueError(f"a process must be named as `host number start`, got {process!r}")
    host, number, moment = parts
    if host != socket.gethostname():
        return None
    return is_running(int(number), moment)


def is_running(number: int, moment: str) -> bool:
    """Return whether the process with a number is still the one that began at a moment.

    Parameters
    ----------
    number : int
    moment : str
        As `moment_of` returned it; ``-`` where the system doesn't tell.
    """
    if moment != _UNTOLD:
        return moment_of(number) == moment
    # A system without /proc tells no start: only the number counts.
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def moment_of(number: int) -> str | None:
    """Return boot and start of a process, None when it has ended or the system doesn't tell.

    Counted by the kernel since the boot: a clock that is set tells nothing else.
    """
    try:
        stat = (_PROC / str(number) / "stat").read_text()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[_I_STATE] in _DEAD_STATES:
        return None
    return f"{boot[:_N_BOOT_DIGITS]}.{fields[_I_START]}"
