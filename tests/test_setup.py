"""Set-up finds a Python, says what is missing before it builds, and rests when done.

Python, uv and the compiler are played by small shell scripts here, so the
tests need no network; the real ones are tried by every CI run.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from foundation.home import CHECKOUT

# Answers as Python {version} with pip and venv would, and writes down what it was asked.
FAKE_PYTHON = """#!/bin/sh
echo "python: $*" >> "$LOG"
case "$*" in
    *sys.version_info*) exit {refuses} ;;
    --version) echo "Python {version}" ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    *"pip wheel"*)
        sleep "${BUILD_S:-0}"; mkdir -p build/wheels; echo "with TLS" > build/wheels/quickfix-1.whl ;;
    *"install"*) cp "$FAKES/uv" "$(dirname "$0")/uv" ;;
    *quickfix*) test -e "$(dirname "$0")/quickfix-is-built" ;;
    *sysconfig*) echo /nowhere ;;
    *"config get"*) exit 1 ;;
esac
"""
FAKE_UV = """#!/bin/sh
echo "uv: $*" >> "$LOG"
for wheel in "$@"; do
    case "$wheel" in *.whl) ! grep -q "with TLS" "$wheel" || touch "$(dirname "$0")/quickfix-is-built" ;; esac
done
"""
FAKE_COMPILER = """#!/bin/sh
case "$*" in --version) exit 0 ;; esac
! grep -q "${MISSING:-nothing is missing}"
"""


# What set-up itself calls; the machine has nothing else but what a test gives it.
TOOLS = {
    *("bash", "sh", "cat", "cp", "mkdir", "rm", "dirname", "grep", "tee", "sleep", "cksum"),
    *("touch", "find", "sed", "mv"),
}


class Machine:
    """A checkout with set-up in it, and the programs that the machine has."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a checkout"
        self.fakes = folder / "fakes"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.home = folder / "a home"
        for made in (self.checkout / "deploy", self.fakes, self.bin):
            made.mkdir(parents=True)
        for name in (
            "deploy/setup.sh",
            "deploy/bootstrap.lock",
            "requirements.lock",
            "pyproject.toml",
        ):
            shutil.copy(CHECKOUT / name, self.checkout / name)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        self.has(self.bin / "c++", FAKE_COMPILER)
        self.has(self.fakes / "uv", FAKE_UV)

    def has(self, path: Path, script: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        return path

    def has_python(self, path: Path, *, version: str = "3.13.0", refuses: bool = False) -> Path:
        script = FAKE_PYTHON.replace("{version}", version).replace("{refuses}", str(int(refuses)))
        return self.has(path, script)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        places = {
            "PATH": str(self.bin),
            "LOG": str(self.log),
            "FAKES": str(self.fakes),
            "HOME": str(self.home),
            "SYSTEM_PYTHON": "none",
        }
        return subprocess.run(
            [str(self.checkout / "deploy/setup.sh")],
            env=places | environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_first_run_installs_the_lock_with_hashes_and_the_project(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    calls = machine.log.read_text()
    assert "--require-hashes --requirement requirements.lock" in calls
    assert "--no-build-isolation --no-deps --editable ." in calls


def test_second_run_does_nothing_until_the_lock_changes(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    machine.set_up()
    again = machine.set_up()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert machine.log.read_text() == ""
    with (machine.checkout / "requirements.lock").open("a") as lock:
        lock.write("another==1.0 --hash=sha256:00\n")
    machine.set_up()
    assert "--requirement requirements.lock" in machine.log.read_text()


def test_pyenv_is_searched_when_its_shims_refuse(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13", refuses=True)
    machine.has_python(machine.bin / "python3", version="3.9.18", refuses=True)
    root = machine.bin.parent / "pyenv root"
    machine.has(machine.bin / "pyenv", f'#!/bin/sh\necho "{root}"\n')
    machine.has_python(root / "versions/3.11.7/bin/python3.11", refuses=True)
    wanted = machine.has_python(root / "versions/3.12.1/bin/python3.12", version="3.12.1")
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert f"using Python 3.12.1 at {wanted}" in done.stderr


def test_newer_python_is_preferred(machine: Machine) -> None:
    for name in ("python3.12", "python3.13", "python3"):
        machine.has_python(machine.bin / name, version=name)
    assert f"at {machine.bin}/python3.13\n" in machine.set_up().stderr


def test_without_a_fitting_python_uv_downloads_one_and_says_so(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3", version="3.11.2", refuses=True)
    # This uv makes an environment with a Python of its own.
    machine.has_python(machine.fakes / "downloaded")
    make_environment = (
        'case "$*" in venv*) mkdir -p .venv/bin; cp "$FAKES/downloaded" .venv/bin/python ;; esac\n'
    )
    machine.has(machine.fakes / "uv", FAKE_UV + make_environment)
    script = FAKE_PYTHON.replace(
        "*sys.version_info*", '*"(3, 9)"*) exit 0 ;;\n    *sys.version_info*'
    )
    machine.has(
        machine.bin / "python3", script.replace("{version}", "3.11.2").replace("{refuses}", "1")
    )
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert "no Python 3.12 or 3.13 on this machine, so uv downloads one" in done.stderr
    assert "uv: venv --quiet --python 3.13 .venv" in machine.log.read_text()


def test_machine_without_any_python_is_told_what_to_install(machine: Machine) -> None:
    done = machine.set_up()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "setup: error: no Python found; on Debian: apt-get install python3 python3-venv"
    )


def test_python_without_venv_and_pip_is_told_what_to_install(machine: Machine) -> None:
    script = FAKE_PYTHON.replace(
        "case", 'case "$*" in *ensurepip*|*"pip --version"*) exit 1 ;; esac\ncase', 1
    )
    machine.has(
        machine.bin / "python3.13", script.replace("{version}", "3.13.5").replace("{refuses}", "0")
    )
    done = machine.set_up()
    assert done.returncode == 1
    assert "has neither venv nor pip; on Debian: apt-get install python3-venv" in done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"CXX": "no-such-compiler"}, "needs a C++ compiler and there is none; on Debian: "
            "apt-get install build-essential"),
        ({"MISSING": "openssl/ssl.h"}, "needs OpenSSL's headers; on Debian: apt-get install libssl-dev"),
        ({"MISSING": "Python.h"}, "needs Python's headers; on Debian: apt-get install python3-dev"),
    ],
)  # fmt: skip
def test_what_the_build_needs_is_said_in_one_line_before_it_starts(
    machine: Machine, environment: dict[str, str], said: str
) -> None:
    machine.has_python(machine.bin / "python3.13")
    done = machine.set_up(**environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"setup: error: quickfix {said}"
    assert "pip wheel" not in machine.log.read_text()
    assert "requirements.lock" not in machine.log.read_text()


def test_no_compiler_is_asked_for_once_quickfix_is_there(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    machine.set_up()
    (machine.checkout / ".venv/.packages-stamp").unlink()
    assert machine.set_up(CXX="no-such-compiler").returncode == 0


def test_long_build_is_reported_while_it_runs(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    done = machine.set_up(BUILD_S="3", HEARTBEAT_S="1")
    assert done.returncode == 0, done.stderr
    assert "setup: 0:02 compiling quickfix (4 to 8 minutes, once)" in done.stderr


def _kept_wheel(machine: Machine) -> Path:
    (wheel,) = machine.home.glob(".cache/quarterdeck/wheels/*/quickfix-1.whl")
    return wheel


def _forget_environment(machine: Machine) -> None:
    shutil.rmtree(machine.checkout / ".venv")


def test_built_quickfix_is_kept_for_the_next_checkout(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    machine.set_up()
    assert "pip wheel" in machine.log.read_text()
    assert _kept_wheel(machine).read_text() == "with TLS\n"
    _forget_environment(machine)
    done = machine.set_up(CXX="no-such-compiler")
    assert done.returncode == 0, done.stderr
    assert "pip wheel" not in machine.log.read_text()


def test_kept_quickfix_serves_only_the_same_python_and_the_same_pin(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    machine.set_up()
    _forget_environment(machine)
    lock = machine.checkout / "requirements.lock"
    lock.write_text(lock.read_text().replace("quickfix==1.16.0", "quickfix==1.17.0"))
    machine.set_up()
    assert "pip wheel" in machine.log.read_text()
    _forget_environment(machine)
    other = FAKE_PYTHON.replace("/nowhere", "/elsewhere").replace("{refuses}", "0")
    machine.has(machine.bin / "python3.13", other)
    machine.set_up()
    assert "pip wheel" in machine.log.read_text()


def test_kept_quickfix_without_tls_is_compiled_again(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    machine.set_up()
    _forget_environment(machine)
    _kept_wheel(machine).write_text("without")
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert "doesn't load with TLS: compiling it again" in done.stderr
    assert "pip wheel" in machine.log.read_text()


def test_quickfix_that_never_gets_tls_is_an_error(machine: Machine) -> None:
    script = FAKE_PYTHON.replace("with TLS", "without").replace("{refuses}", "0")
    machine.has(machine.bin / "python3.13", script)
    done = machine.set_up()
    assert done.returncode == 1
    assert "quickfix was compiled but doesn't load with TLS" in done.stderr.splitlines()[-1]


def test_environment_whose_python_is_gone_is_replaced(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    machine.set_up()
    machine.has(machine.checkout / ".venv/bin/python", "#!/bin/sh\nexit 127\n")
    (machine.checkout / ".venv/.packages-stamp").unlink()
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert "replacing .venv, whose Python does not run" in done.stderr


def test_failed_installation_is_tried_again_next_time(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    offline = 'case "$*" in *requirements.lock*) echo no network; exit 2 ;; esac\n'
    machine.has(machine.fakes / "uv", FAKE_UV + offline)
    failed = machine.set_up()
    assert failed.returncode == 1
    assert "no network" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith(
        "setup: error: the packages could not be installed"
    )
    machine.has(machine.fakes / "uv", FAKE_UV)
    assert machine.set_up().returncode == 0


def test_kernels_are_compiled_once_and_again_after_the_core_changed(machine: Machine) -> None:
    machine.has_python(machine.bin / "python3.13")
    home = machine.checkout.parent / "home"
    (home / "kernels").mkdir(parents=True)
    warm = machine.checkout / "trading/warm.py"
    warm.parent.mkdir()
    warm.write_text("")
    os.utime(warm, (1, 1))
    compiles = "python: -m foundation.kernel_cache"
    assert compiles in _calls(machine, home)
    assert compiles not in _calls(machine, home)
    # A time to come, because a file system may count in whole seconds.
    os.utime(warm, (4_000_000_000, 4_000_000_000))
    assert compiles in _calls(machine, home)


def _calls(machine: Machine, home: Path) -> str:
    done = machine.set_up(QUARTERDECK_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return machine.log.read_text()
