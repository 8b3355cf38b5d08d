"""How our work runs inside Dagster: one line for an error, lines for progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from logging import Logger
from pathlib import Path

from dagster import AssetExecutionContext, Failure

from foundation.errors import DatabaseError, QuarterdeckError, Retryable
from foundation.kernel_cache import kernel_hash, use_kernel_cache
from foundation.log_file import logged_work
from foundation.progress import Progress

STRATEGY_TAG = "quarterdeck/strategy"
VERSION_TAG = "quarterdeck/version"
RUN_ID_TAG = "quarterdeck/run_id"
N_HASH_DIGITS_SHOWN = 12
# In a failure's metadata, for whoever decides whether to run the same again.
WORTH_ANOTHER_TRY = "Worth another try"
# A locked database and a broken line mend themselves; a wrong document doesn't.
_PASSING_ERRORS = (DatabaseError, Retryable)


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn an error that was raised on purpose into a failed step with its message alone.

    Trying again can't help a wrong document, damaged bars or a ceiling that is
    too low, so retries are off; a database that is locked is another matter.
    Anything else is a defect and keeps its traceback.
    """
    try:
        yield
    except QuarterdeckError as error:
        passing = isinstance(error, _PASSING_ERRORS)
        raise Failure(
            str(error), allow_retries=passing, metadata={WORTH_ANOTHER_TRY: passing}
        ) from None


def logged_step(
    context: AssetExecutionContext, home: Path, name: str
) -> AbstractContextManager[None]:
    """Have the log of work say how a step ended, with the id of its Dagster run."""
    return logged_work(home, name, logger="assets", dagster_run_id=context.run.run_id)


def use_kernels(home: Path) -> None:
    """Choose the folder of compiled kernels, unless whoever started this process did.

    A choice that was made for other sources doesn't count: a web server may
    have been started before an edit. Once numba is loaded the choice stands.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR", "")
    if "numba" not in sys.modules and Path(chosen).name != kernel_hash():
        use_kernel_cache(home)


def progress_lines(log: Logger, unit: str) -> Progress:
    """Return a `Progress` that writes lines such as ``3 of 4 instruments, 75 %: GOOG``."""

    def report(done: int, total: int, label: str = "") -> None:
        amount = f"{done} of {total} {unit}, {100 * done / total:.0f} %" if total else unit
        log.info(f"{amount}: {label}" if label else amount)

    return report


def tag_strategy(context: AssetExecutionContext, name: str, version: str) -> None:
    """Tag the run with the strategy and its version, and say so in the log."""
    short = version[:N_HASH_DIGITS_SHOWN]
    context.instance.add_run_tags(context.run.run_id, {STRATEGY_TAG: name, VERSION_TAG: short})
    context.log.info(f"strategy {name}, version {short}")


def tag_run(context: AssetExecutionContext, run_id: str) -> None:
    """Tag the run with the id of its result."""
    context.instance.add_run_tags(context.run.run_id, {RUN_ID_TAG: run_id})
