#!/usr/bin/env bash
# Make build/distributed: an environment that has what runs on several machines need, for tests.
#
# It sees the packages of .venv and adds those of deploy/distributed.lock that .venv lacks, so that
# .venv stays what requirements.lock says. For machines that really run so, docs/operating.md says
# how to install the lock beside the others.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

FOLDER=build/distributed
STAMP=$FOLDER/.stamp

[ -x .venv/bin/uv ] || { echo 'distributed: error: make setup first' >&2; exit 1; }
wanted=$(cat deploy/distributed.lock requirements.lock deploy/distributed.sh | cksum; pwd)
if [ -f $STAMP ] && [ "$(cat $STAMP)" = "$wanted" ]; then exit; fi

rm -rf $FOLDER
mkdir -p build
.venv/bin/uv venv --quiet --python .venv/bin/python $FOLDER
# The pins that .venv has not, each with its hashes. A version that both pin must be the same one.
.venv/bin/python - > build/distributed.txt <<'PYTHON'
import re, sys
from pathlib import Path

def pins(path):
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", Path(path).read_text()):
        name, _, version = block.split(" ")[0].strip().partition("==")
        if version:
            found[name.partition("[")[0]] = version, block
    return found

here, more = pins("requirements.lock"), pins("deploy/distributed.lock")
for name, (version, block) in more.items():
    if name not in here:
        print(block)
    elif here[name][0] != version:
        sys.exit(f"distributed: error: {name} is {here[name][0]} in requirements.lock "
                 f"and {version} in deploy/distributed.lock")
PYTHON
.venv/bin/uv pip install --quiet --python $FOLDER --no-deps --require-hashes --requirement build/distributed.txt
for python in .venv $FOLDER; do
    $python/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
done | { read -r theirs; read -r ours; echo "$theirs" > "$ours/zz_quarterdeck.pth"; }
# The checkout itself, as the editable install gives it to .venv.
pwd >> "$($FOLDER/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_quarterdeck.pth"
echo "$wanted" > $STAMP
echo "distributed: $(grep -c '==' build/distributed.txt) packages beside those of .venv in $FOLDER" >&2
