"""Run a job in this process and kill it at one of the moments at which files or records change.

``python dying.py JOB RUN_CONFIG PARTITION MOMENT``: the process ends by SIGKILL just before the
MOMENT-th change, counted from 1; with 0 it runs to its end and prints how many there were. A change
is a rename, a flush, a removal or a new folder, and a commit of the record: whatever Quarterdeck's
own code does to make something last. Of a MOMENT below 0 only commits count. Nothing of this is in the
platform itself.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path


def main() -> None:
    job_name, config, partition, moment = sys.argv[1:]
    home = Path(os.environ["QUARTERDECK_HOME"])
    from dagster import DagsterInstance

    from foundation.kernel_cache import use_kernel_cache

    use_kernel_cache(home)
    from pipelines.definitions import definitions

    job = definitions.resolve_job_def(job_name)
    options = {"partition_key": partition} if partition else {}
    with DagsterInstance.ephemeral() as instance:
        if partition:
            # Of a month of an instrument, the instrument.
            instance.add_dynamic_partitions("symbol", [partition.rpartition("|")[2]])
        count = count_changes(int(moment))
        done = job.execute_in_process(
            json.loads(config), instance=instance, raise_on_error=True, **options
        )
    print(json.dumps({"success": done.success, "changes": count[0]}))


def count_changes(moment: int) -> list[int]:
    """Count changes from now on, and die before the one that is asked for."""
    count = [0]

    n_commits = [0]

    def change() -> None:
        count[0] += 1
        if count[0] == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(connection: Connection) -> None:
        # Dagster's own storage commits too; that is not ours to test.
        if not str(connection.engine.url.database).endswith("quarterdeck.sqlite"):
            return
        n_commits[0] += 1
        if n_commits[0] == -moment:
            os.kill(os.getpid(), signal.SIGKILL)
        change()

    def counted(function):
        def run(*arguments, **named):
            change()
            return function(*arguments, **named)

        return run

    for name in ("replace", "rename", "fsync", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    shutil.rmtree = counted(shutil.rmtree)
    import foundation.files

    foundation.files._exchange = counted(foundation.files._exchange)
    from sqlalchemy import Connection, Engine, event

    event.listen(Engine, "commit", commit)
    return count


if __name__ == "__main__":
    main()
