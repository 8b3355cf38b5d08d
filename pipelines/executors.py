"""Which processes do the steps of a run: this one, others here, or another machine's."""

from __future__ import annotations

from dagster import ExecutorDefinition, in_process_executor, multiprocess_executor

from foundation.errors import SettingsError
from foundation.settings import Executor

# A backtest uses all cores by itself: more than two at once only slow each other down.
N_STEPS_AT_ONCE = 2
# Where the tasks wait, and where it is told what became of them: as in `deploy/celery`.
CELERY_VARIABLES = {"broker": "QUARTERDECK_CELERY_BROKER", "backend": "QUARTERDECK_CELERY_BACKEND"}
_PACKAGES = {Executor.CELERY: "dagster-celery", Executor.KUBERNETES: "dagster-k8s"}


def executor_of(choice: Executor) -> ExecutorDefinition:
    """Return the executor that a setting names.

    Celery's and Kubernetes' come from packages of their own, which the image
    in `deploy/` has and a developer's machine need not.

    Raises
    ------
    SettingsError
        If the package isn't installed.
    """
    if choice is Executor.IN_PROCESS:
        # One process per run: the compiled kernels are loaded once.
        return in_process_executor
    if choice is Executor.MULTIPROCESS:
        return multiprocess_executor.configured({"max_concurrent": N_STEPS_AT_ONCE})
    try:
        if choice is Executor.CELERY:
            from dagster_celery import celery_executor

            return celery_executor.configured(
                {name: {"env": variable} for name, variable in CELERY_VARIABLES.items()}
            )
        from dagster_k8s import k8s_job_executor

        return k8s_job_executor
    except ImportError as error:
        raise SettingsError(
            f"QUARTERDECK_EXECUTOR: {choice} needs the package {_PACKAGES[choice]}, "
            f"which is not installed ({error})"
        ) from None
