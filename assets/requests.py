"""What a Dagster run knows of the request that it carries out, by its tags."""

from __future__ import annotations

from collections.abc import Mapping

from dagster import AssetExecutionContext
from sqlalchemy import Engine

from foundation.errors import SpecError
from foundation.memory import MEMORY_BYTES_LEAST

REQUEST_TAG = "quarterdeck/request"
ATTEMPT_TAG = "quarterdeck/attempt"
WORK_TAG = "quarterdeck/work"
# Also for runs that nobody requested: an admin may state it in the launchpad.
MEMORY_TAG = "quarterdeck/memory_bytes_max"


def take_request(context: AssetExecutionContext, database: Engine) -> None:
    """Take the request that this run was started for; a run of its own has none to take.

    Called before any work: of two runs for one request, which a restart at
    the wrong moment may bring about, the second does nothing.

    Raises
    ------
    NotPermitted
        If the request was cancelled, or another run has it.
    """
    tags = context.run.tags
    if REQUEST_TAG not in tags:
        return
    from strategies.requests import begin_request

    begin_request(
        database,
        int(tags[REQUEST_TAG]),
        attempt=int(tags[ATTEMPT_TAG]),
        dagster_run_id=context.run.run_id,
    )


def ceiling_of(tags: Mapping[str, str], default: int | None) -> int | None:
    """Return the memory ceiling of a run in bytes, None for none.

    Parameters
    ----------
    tags : mapping
        Of the run; `MEMORY_TAG` wins over the default.
    default : int or None
        From the settings.

    Raises
    ------
    SpecError
        If the tag is no number, or too small for a run to begin.
    """
    text = tags.get(MEMORY_TAG, "")
    if not text:
        return default
    if not text.isdigit() or int(text) < MEMORY_BYTES_LEAST:
        raise SpecError(
            f"must be a number of bytes, at least {MEMORY_BYTES_LEAST}, got {text!r}",
            path=f"tag {MEMORY_TAG}",
        )
    return int(text)
