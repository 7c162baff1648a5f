#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment outside the checkout, and
# cleans a clip with it.
#
#   bash tests/wheel.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
  --wheel-dir "$folder" .
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  --constraint tests/constraints.txt "$folder"/streamdenoise-*.whl

# Nothing in the wheel may hide other modules.
"$folder/venv/bin/python" - "$folder"/streamdenoise-*.whl <<'EOF'
import sys
from zipfile import ZipFile

names = {name.partition("/")[0] for name in ZipFile(sys.argv[1]).namelist()}
others = {name for name in names if not name.startswith("streamdenoise")}
if others:
    sys.exit(f"error: the wheel also installs {', '.join(sorted(others))}")
EOF

clip=$PWD/samples/cctv.mp4
cd "$folder"
venv/bin/streamdenoise --version
venv/bin/streamdenoise models >models.txt
head -n 5 models.txt
venv/bin/streamdenoise file "$clip" -o clean.mp4 --duration 0.5
test -s clean.mp4
venv/bin/streamdenoise train --help >/dev/null
echo "the wheel works"
