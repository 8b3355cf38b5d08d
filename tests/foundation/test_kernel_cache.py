"""The folder of compiled kernels changes when, and only when, the machine code would."""

import subprocess
import sys
from pathlib import Path

import pytest

from foundation.kernel_cache import kernel_hash, remove_stale_kernels, use_kernel_cache

SOURCES = {
    "trading/__init__.py": ['"""The core."""'],
    "trading/fills.py": [
        "from trading.compiling import kernel",
        "from trading.orders import FILLED",
        "@kernel",
        "def fill_nb(): return FILLED",
    ],
    "trading/compiling.py": ["from numba import njit", "kernel = njit(cache=True)"],
    "trading/orders.py": ["from trading.codes import BASE", "FILLED = BASE + 2"],
    "trading/codes.py": ["BASE = 1"],
    "trading/document.py": ["from trading.codes import BASE", "TITLE = 'a strategy'"],
    "trading/indicators/__init__.py": [],
    "trading/indicators/ops.py": ["OP_RSI = 1"],
    "trading/indicators/trend.py": [
        "import numba",
        "from trading.indicators import ops",
        "@numba.njit",
        "def rsi_nb(): return ops.OP_RSI",
    ],
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, lines in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


@pytest.mark.parametrize(
    "edited",
    [
        "trading/fills.py",
        "trading/compiling.py",
        "trading/orders.py",
        "trading/codes.py",
        "trading/indicators/ops.py",
    ],
)
def test_editing_a_kernel_or_a_constant_that_it_uses_changes_the_hash(
    checkout: Path, edited: str
) -> None:
    before = kernel_hash(checkout)
    path = checkout / edited
    path.write_text(path.read_text() + "OTHER = 3\n")
    assert kernel_hash(checkout) != before


def test_editing_what_no_kernel_uses_keeps_the_hash(checkout: Path) -> None:
    before = kernel_hash(checkout)
    (checkout / "trading/document.py").write_text("TITLE = 'another'\n")
    assert kernel_hash(checkout) == before


def test_names_imported_over_several_lines_count(checkout: Path) -> None:
    path = checkout / "trading/indicators/trend.py"
    path.write_text(path.read_text().replace("import ops", "import (\n    ops,\n)"))
    before = kernel_hash(checkout)
    (checkout / "trading/indicators/ops.py").write_text("OP_RSI = 2\n")
    assert kernel_hash(checkout) != before


def test_moving_code_between_files_changes_the_hash(checkout: Path) -> None:
    before = kernel_hash(checkout)
    (checkout / "trading/fills.py").rename(checkout / "trading/filling.py")
    assert kernel_hash(checkout) != before


def test_every_kernel_that_there_is_counts() -> None:
    program = """
import importlib, pkgutil, sys
from pathlib import Path
from foundation.home import data_home
from foundation.kernel_cache import _kernel_sources, CHECKOUT, use_kernel_cache
use_kernel_cache(data_home())
import trading
from numba.core.dispatcher import Dispatcher
names = [m.name for m in pkgutil.walk_packages(trading.__path__, "trading.") if m.name != "trading.warm"]
modules = [importlib.import_module(name) for name in names]
kernels = [k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)]
files = {Path(k.py_func.__code__.co_filename).relative_to(CHECKOUT).as_posix() for k in kernels}
assert len(kernels) > 100, len(kernels)
assert files <= set(_kernel_sources(CHECKOUT)), files - set(_kernel_sources(CHECKOUT))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_hash_is_the_same_in_another_process() -> None:
    program = "from foundation.kernel_cache import kernel_hash; print(kernel_hash())"
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == kernel_hash()


def _run(program: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, str(home)], capture_output=True, text=True, check=False
    )


def test_numba_and_its_child_processes_use_the_folder(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path\n"
        "from foundation.kernel_cache import use_kernel_cache\n"
        "folder = use_kernel_cache(Path(sys.argv[1]))\n"
        "assert 'numba' not in sys.modules\n"
        "show = 'import numba; print(numba.config.CACHE_DIR)'\n"
        "said = subprocess.run([sys.executable, '-c', show], capture_output=True, text=True).stdout\n"
        "assert said.strip() == str(folder), said\n"
        "import numba; assert numba.config.CACHE_DIR == str(folder)\n"
        "assert use_kernel_cache(Path(sys.argv[1])) == folder\n"
    )
    done = _run(program, tmp_path)
    assert done.returncode == 0, done.stderr


def test_numba_imported_too_early_is_an_error(tmp_path: Path) -> None:
    program = (
        "import sys, numba; from pathlib import Path\n"
        "from foundation.kernel_cache import use_kernel_cache\n"
        "use_kernel_cache(Path(sys.argv[1]))\n"
    )
    done = _run(program, tmp_path)
    assert done.returncode == 1
    assert "must be called before numba is imported" in done.stderr


def test_stale_folders_go_and_the_one_in_use_stays(tmp_path: Path) -> None:
    for name in ("a", "b", "c", kernel_hash()):
        (tmp_path / "kernels" / name).mkdir(parents=True)
    assert remove_stale_kernels(tmp_path) == 1
    left = {path.name for path in (tmp_path / "kernels").iterdir()}
    assert kernel_hash() in left
    assert len(left) == 3


def test_suite_itself_runs_on_the_cache_that_fits_the_sources() -> None:
    import numba

    assert numba.config.CACHE_DIR.endswith(kernel_hash())


def test_use_returns_the_folder_within_the_home() -> None:
    import numba

    home = Path(numba.config.CACHE_DIR).parent.parent
    assert use_kernel_cache(home) == home / "kernels" / kernel_hash()
