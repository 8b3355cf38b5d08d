"""The driver's side: starts workers, makes them run in turns, takes medians."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np

from foundation.home import CHECKOUT

N_THREADS = 2


class WorkerFailed(Exception):
    """A worker ended or answered nonsense; the message carries its last lines."""


class Worker:
    """One side of a comparison in a process of its own.

    Parameters
    ----------
    python : Path
        The interpreter of the side's environment.
    module : str
        What it runs, such as ``bench.peers.vectorbt``.
    spec : mapping
        Data and parameters, plain JSON.
    """

    def __init__(self, python: Path, module: str, spec: Mapping[str, Any]) -> None:
        self.name = module.rsplit(".", 1)[-1]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(spec)],
            cwd=CHECKOUT,
            env=worker_environment(python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.about = self._read()

    def run(self) -> float:
        """Do the work once and return its seconds."""
        return float(self._ask("run")["seconds"])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the last run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "arrays.npz"
            self._ask(f"save {path}")
            with np.load(path) as arrays:
                return {name: arrays[name] for name in arrays.files}

    def peak_bytes(self) -> int:
        """Return the largest resident size of the whole process so far."""
        return int(self._ask("memory")["peak_bytes"])

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            try:
                self._process.communicate("quit\n", timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._process.wait()
        self._log.seek(0)
        last = "".join(self._log.readlines()[-15:])
        raise WorkerFailed(f"{self.name} ended with code {self._process.returncode}:\n{last}")


def worker_environment(python: Path) -> dict[str, str]:
    """Return a worker's environment: as ours, with the same thread limits for all.

    A peer keeps its compiled functions in its own folder: it has another
    numba, which must not write beside the platform's kernels.
    """
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    changed = {name: str(N_THREADS) for name in names}
    if python != Path(sys.executable):
        changed["NUMBA_CACHE_DIR"] = str(python.parent.parent / "kernels")
    return {**os.environ, **changed}


def in_turns(workers: Mapping[str, Worker], n_rounds: int) -> dict[str, float]:
    """Run the workers one after the other, round by round.

    Returns
    -------
    dict of name to float
        The median of each worker's seconds. Rounds are interleaved because a
        shared machine's speed drifts over minutes by more than a tenth.
    """
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(n_rounds):
        for name, worker in workers.items():
            seconds[name].append(worker.run())
    return {name: median(values) for name, values in seconds.items()}
