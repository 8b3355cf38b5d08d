"""`quarterdeck runs` and `version`: what is on record, and what runs here."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from launcher import options
from launcher.console import percent, plain, print_json, print_table


def runs(
    strategy: Annotated[str, typer.Option(metavar="NAME", help="Only runs of this strategy.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: options.Json = False,
) -> None:
    """List the recorded backtests, latest first.

    Example: [bold]quarterdeck runs --strategy macd-trend[/]
    """
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from strategies.runs import list_runs

    engine = make_engine(load_settings().database_url)
    try:
        # A home that nothing was recorded in has an empty list, not an error.
        migrate(engine)
        found = list_runs(engine, name=strategy or None, limit=limit)
    finally:
        engine.dispose()
    if json:
        print_json(
            [
                {
                    "run_id": run.run_id,
                    "strategy": run.name,
                    "version_hash": run.version_hash,
                    "data_fingerprint": run.data_fingerprint,
                    "engine_version": run.engine_version,
                    "options": run.options,
                    "status": run.status.value,
                    "error": run.error,
                    "started_at": run.started_at.isoformat(),
                    "finished_at": None if run.finished_at is None else run.finished_at.isoformat(),
                    "result_directory": run.result_directory,
                    "key_figures": run.key_figures,
                }
                for run in found
            ]
        )
        return
    if not found:
        print("no backtest is on record yet")
        return
    rows = []
    for run in found:
        figures: dict[str, Any] = run.key_figures or {}
        rows.append(
            [
                run.run_id,
                run.name,
                run.version_hash[:8],
                run.status.value,
                f"{run.started_at:%Y-%m-%d %H:%M}",
                ", ".join(run.options.get("symbols", [])),
                percent(figures.get("total_return")),
                plain(figures.get("sharpe")),
                percent(figures.get("max_drawdown")),
            ]
        )
    columns = ["run", "strategy", "version", "status", "started (UTC)", "symbols"]
    numbers = ("return", "Sharpe", "drawdown")
    print_table([*columns, *numbers], rows, numbers=numbers)


def version(json: options.Json = False) -> None:
    """Print the versions of the platform and of what its results rest on.

    Example: [bold]quarterdeck version --json[/]
    """
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from foundation.home import data_home
    from foundation.kernel_cache import kernel_hash
    from research.backtest import ENGINE_VERSION

    found = {
        "quarterdeck": "",
        "engine": ENGINE_VERSION,
        "kernels": kernel_hash(),
        "python": platform.python_version(),
    }
    for package in ("quarterdeck", "numba", "numpy", "pyarrow"):
        try:
            found[package] = installed(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["home"] = str(data_home())
    if json:
        print_json(found)
        return
    for name, value in found.items():
        print(f"{name} {value}")
