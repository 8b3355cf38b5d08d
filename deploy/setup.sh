#!/usr/bin/env bash
# Make the environment in .venv from requirements.lock, and nothing else.
#
# Finds a Python 3.13 or 3.12, installs the pinned packages with their hashes,
# compiles quickfix with TLS, and fills the cache of compiled kernels. When
# nothing changed since the last time it ends at once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
PACKAGES_STAMP=$VENV/.packages-stamp
KERNELS_STAMP=$VENV/.kernels-stamp
INSTALL_LOG=$VENV/.install.log
QUICKFIX_CXXFLAGS="-O1 -g0 -DHAVE_SSL"
QUICKFIX_LDFLAGS="-Wl,--no-as-needed -lssl -lcrypto"
HEARTBEAT_S=${HEARTBEAT_S:-20}
# Behind pyenv's shims there may still be the system's own.
SYSTEM_PYTHON=${SYSTEM_PYTHON:-/usr/bin/python3}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# Whether a command is a Python that we can use. It has to run, because pyenv's
# shims exist for versions that they then refuse to start.
is_fitting_python() {
    "$1" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    local candidate root
    for candidate in python3.13 python3.12; do
        if is_fitting_python "$candidate"; then command -v "$candidate"; return; fi
    done
    root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || true)}
    root=${root:-$HOME/.pyenv}
    for candidate in "$root"/versions/3.13*/bin/python3.13 "$root"/versions/3.12*/bin/python3.12; do
        if is_fitting_python "$candidate"; then echo "$candidate"; return; fi
    done
    for candidate in python3 python; do
        if is_fitting_python "$candidate"; then command -v "$candidate"; return; fi
    done
    return 1
}

# A Python of another version can still fetch uv, which then fetches the right one.
find_any_python() {
    local candidate
    for candidate in python3 python "$SYSTEM_PYTHON"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
            command -v "$candidate"; return
        fi
    done
    return 1
}

# Make a virtual environment with pip in it, by whichever way this machine offers.
make_venv() {
    local python=$1 folder=$2
    if "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        "$python" -m venv "$folder"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip "$folder"
        "$python" -m pip --python "$folder/bin/python" install --quiet pip
    else
        fail "$python has neither venv nor pip; on Debian: apt-get install python3-venv (or install uv)"
    fi
}

make_environment() {
    local python
    if [ -e $VENV ]; then
        if is_fitting_python $VENV/bin/python; then return; fi
        say "replacing $VENV, whose Python does not run or is not 3.12 or 3.13"
        rm -rf $VENV
    fi
    if python=$(find_python); then
        say "using $("$python" --version 2>&1) at $python"
        if uv --version >/dev/null 2>&1; then
            uv venv --quiet --python "$python" $VENV
        else
            make_venv "$python" $VENV
        fi
        return
    fi
    say "no Python 3.12 or 3.13 on this machine, so uv downloads one into its own folder"
    local uv=uv
    if ! uv --version >/dev/null 2>&1; then uv=$(bootstrapped_uv); fi
    "$uv" venv --quiet --python 3.13 $VENV \
        || fail "uv could not download a Python (see above); install Python 3.13 or 3.12"
}

# Install uv into a folder of its own with whichever Python there is; prints its path.
bootstrapped_uv() {
    local python
    python=$(find_any_python) || fail "no Python found; on Debian: apt-get install python3 python3-venv"
    rm -rf build/bootstrap
    make_venv "$python" build/bootstrap
    build/bootstrap/bin/python -m pip install --quiet --require-hashes --requirement deploy/bootstrap.lock \
        || fail "pip could not install uv (see above)"
    echo build/bootstrap/bin/uv
}

# uv and pip don't read each other's settings: a machine that reaches packages
# through a mirror of its own may have told only one of them where it is.
follow_index() {
    local index
    if [ -n "${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-}}" ]; then
        export PIP_INDEX_URL=${PIP_INDEX_URL:-${UV_DEFAULT_INDEX:-$UV_INDEX_URL}}
    elif $VENV/bin/python -m pip --version >/dev/null 2>&1; then
        index=$($VENV/bin/python -m pip config get global.index-url 2>/dev/null || true)
        index=${PIP_INDEX_URL:-$index}
        if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
    fi
}

install_uv() {
    if $VENV/bin/python -m pip --version >/dev/null 2>&1; then
        $VENV/bin/python -m pip install --quiet --require-hashes --requirement deploy/bootstrap.lock \
            || fail "pip could not install uv (see above)"
    else
        uv pip install --quiet --python $VENV --require-hashes --requirement deploy/bootstrap.lock \
            || fail "uv could not install itself into $VENV (see above)"
    fi
}

has_header() {
    local include
    include=$($VENV/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
    printf '#include <%s>\n' "$1" | "${CXX:-c++}" -I"$include" -x c++ -E - >/dev/null 2>&1
}

# Whether the pinned quickfix is there and was built with what we need of it.
has_quickfix_with_tls() {
    $VENV/bin/python -c '
import sys, importlib.metadata, quickfix
quickfix.SSLSocketInitiator, quickfix.SSLSocketAcceptor
sys.exit("quickfix==" + importlib.metadata.version("quickfix") not in sys.argv[1].split())
' "$(quickfix_pin)" >/dev/null 2>&1
}

# Run a command and say every now and then what still goes on. What it prints
# itself is shown as it comes and kept in a log.
run_with_heartbeat() {
    local doing=$1; shift
    local seconds=0 pid status=0
    "$@" > >(tee $INSTALL_LOG >&2) 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null; exit 130' INT TERM
    while kill -0 $pid 2>/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
        if [ $((seconds % HEARTBEAT_S)) -eq 0 ]; then
            say "$(printf '%d:%02d' $((seconds / 60)) $((seconds % 60))) $doing"
        fi
    done
    wait $pid || status=$?
    trap - INT TERM
    return $status
}

# quickfix is published as source only. Say what is missing before it builds,
# not five minutes later in the middle of a compiler's output.
check_compiler() {
    if ! "${CXX:-c++}" --version >/dev/null 2>&1; then
        fail "quickfix needs a C++ compiler and there is none; on Debian: apt-get install build-essential"
    fi
    has_header openssl/ssl.h || fail "quickfix needs OpenSSL's headers; on Debian: apt-get install libssl-dev"
    has_header Python.h || fail "quickfix needs Python's headers; on Debian: apt-get install python3-dev"
}

# -O1 halves the time of the build; HAVE_SSL gives TLS; without --no-as-needed
# the linker drops OpenSSL and the import fails. Build isolation is off so that
# the build tools are pinned as well.
build_quickfix() {
    local folder=$1
    check_compiler
    say "compiling quickfix, which is published as source only: 4 to 8 minutes, once"
    rm -rf build/wheels
    mkdir -p build "$(dirname "$folder")"
    quickfix_pin > build/quickfix.txt
    CXXFLAGS=$QUICKFIX_CXXFLAGS LDFLAGS=$QUICKFIX_LDFLAGS \
        run_with_heartbeat "compiling quickfix (4 to 8 minutes, once)" \
        $VENV/bin/python -m pip wheel --quiet --no-cache-dir --no-build-isolation --no-deps \
        --require-hashes --requirement build/quickfix.txt --wheel-dir build/wheels \
        || fail "quickfix could not be compiled (see above and $INSTALL_LOG)"
    # Whole or absent, because another checkout may look for it right now.
    rm -rf "$folder.$$"
    cp -r build/wheels "$folder.$$"
    mv -T "$folder.$$" "$folder" 2>/dev/null || rm -rf "$folder.$$"
}

# The lines of the lock that pin quickfix.
quickfix_pin() {
    sed -n '/^quickfix==/,/^    # via/p' requirements.lock
}

# The built wheel is kept outside the checkout, by all that went into it: uv and
# pip forget it where the index doesn't let them keep downloads.
wheel_folder() {
    local key
    key=$({
        quickfix_pin
        echo "$QUICKFIX_CXXFLAGS $QUICKFIX_LDFLAGS"
        $VENV/bin/python -c 'import sys, sysconfig; print(sys.version, sysconfig.get_platform())'
    } | cksum)
    echo "${XDG_CACHE_HOME:-${HOME:-$PWD/build}/.cache}/quarterdeck/wheels/quickfix-${key%% *}"
}

install_quickfix() {
    local folder attempt
    if has_quickfix_with_tls; then return; fi
    folder=$(wheel_folder)
    for attempt in 1 2; do
        if ! compgen -G "$folder/quickfix-*.whl" >/dev/null; then build_quickfix "$folder"; fi
        $VENV/bin/uv pip install --quiet --python $VENV --no-deps --reinstall "$folder"/quickfix-*.whl \
            || say "the quickfix in $folder can't be installed"
        if has_quickfix_with_tls; then return; fi
        if [ $attempt -eq 1 ]; then say "the quickfix in $folder doesn't load with TLS: compiling it again"; fi
        rm -rf "$folder"
    done
    fail "quickfix was compiled but doesn't load with TLS: see $INSTALL_LOG"
}

install_all() {
    local started=$SECONDS
    follow_index
    install_uv
    install_quickfix
    say "installing $(grep -c '^[a-z].*==' requirements.lock) packages from requirements.lock"
    # Bytecode now, or every command compiles what it imports where Python may not write it.
    run_with_heartbeat "installing packages" \
        $VENV/bin/uv pip install --python $VENV --no-build-isolation --compile-bytecode --require-hashes \
        --requirement requirements.lock || fail "the packages could not be installed (see above)"
    $VENV/bin/uv pip install --quiet --python $VENV --no-build-isolation --no-deps --editable . \
        || fail "the project itself could not be installed (see above)"
    say "packages installed in $((SECONDS - started)) s"
}

fingerprint() {
    cat requirements.lock deploy/bootstrap.lock pyproject.toml deploy/setup.sh | cksum
    # A virtual environment that was moved or copied runs the scripts of its old place.
    pwd
}

warm_kernels() {
    local home=${QUARTERDECK_HOME:-$PWD/.quarterdeck} started=$SECONDS
    [ -f trading/warm.py ] || return 0
    if [ -f $KERNELS_STAMP ] && [ "$(cat $KERNELS_STAMP)" = "$home" ] && [ -d "$home/kernels" ] \
        && [ -z "$(find trading requirements.lock -newer $KERNELS_STAMP \( -name '*.py' -o -name '*.lock' \) -print -quit)" ]; then
        return 0
    fi
    touch $KERNELS_STAMP.new
    say "compiling the kernels into $home/kernels (up to a minute or two, after each change to the core)"
    $VENV/bin/python -m compileall -q foundation trading market_data strategies research \
        assets pipelines dashboards launcher \
        || say "some sources could not be compiled (see above)"
    $VENV/bin/python -m foundation.kernel_cache || fail "the kernels could not be compiled (see above)"
    echo "$home" > $KERNELS_STAMP
    touch -r $KERNELS_STAMP.new $KERNELS_STAMP
    rm -f $KERNELS_STAMP.new
    say "kernels ready after $((SECONDS - started)) s"
}

if ! { [ -f $PACKAGES_STAMP ] && [ "$(fingerprint)" = "$(cat $PACKAGES_STAMP)" ] && [ -x $VENV/bin/python ]; }; then
    make_environment
    install_all
    fingerprint > $PACKAGES_STAMP
fi
warm_kernels
