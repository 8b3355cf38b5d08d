"""`quarterdeck import` of several files and symbols: a report for each, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

from tests.launcher.conftest import Run

_HEADER = "symbol,date,open,high,low,close,volume\n"
_DAYS = ("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")


def _write(path: Path, *symbols: str, high: int = 12) -> Path:
    rows = [f"{symbol},{day},11,{high},10,11,100\n" for symbol in symbols for day in _DAYS]
    path.write_text(_HEADER + "".join(rows))
    return path


def test_all_symbols_of_a_file_are_imported_on_request(run: Run, tmp_path: Path) -> None:
    path = _write(tmp_path / "two.csv", "AA", "BB")
    refused = run("import", path)
    assert refused.code == 1
    assert "has 2 symbols (AA, BB); state which one" in refused.err
    done = run("import", path, "--all-symbols", "--json")
    assert done.code == 0
    (outcome,) = json.loads(done.out)
    assert [one["symbol"] for one in outcome["imported"]] == ["AA", "BB"]
    assert [one["rows"] for one in outcome["imported"]] == [4, 4]


def test_a_folder_with_a_bad_file_imports_the_others_and_ends_with_1(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    _write(folder / "a.csv", "AA")
    _write(folder / "b.csv", "BB", high=9)
    _write(folder / "c.csv", "CC")
    done = run("import", folder)
    assert done.code == 1
    assert "error: b.csv: BB: line 2: high 9 is below low 10" in done.err
    assert "3 files: 2 series imported, 1 refused" in done.out
    assert run("bars", "CC").code == 0


def test_strict_stops_at_the_first_bad_file(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    _write(folder / "a.csv", "AA", high=9)
    _write(folder / "b.csv", "BB")
    done = run("import", folder, "--strict")
    assert done.code == 1
    assert "a.csv: line 2: high 9 is below low 10" in done.err
    assert run("bars", "BB").code == 1
