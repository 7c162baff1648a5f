#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment outside the checkout, and
# runs every command of the pages with it. Needs an environment with '.[dev]'.
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

# Nothing in the wheel may hide other modules, and it carries no reports, records or
# checkpoints besides those of its models.
"$folder/venv/bin/python" - "$folder"/streamdenoise-*.whl <<'EOF'
import sys
from zipfile import ZipFile

files = ZipFile(sys.argv[1]).namelist()
others = {name.partition("/")[0] for name in files} - {"streamdenoise"}
others = {name for name in others if not name.startswith("streamdenoise-")}
if others:
    sys.exit(f"error: the wheel also installs {', '.join(sorted(others))}")
ballast = [
    name
    for name in files
    if name.endswith((".md", ".html", ".png", ".pt"))
    and not name.startswith("streamdenoise/serve/web/templates/")
]
ballast += [
    name
    for name in files
    if name.endswith(".safetensors") and "streamdenoise/weights/" not in name
]
if ballast:
    sys.exit(f"error: the wheel carries {', '.join(ballast)}")
EOF

"$folder/venv/bin/streamdenoise" --version
echo "== every command of the pages; those that need an extra also with this environment's"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps \
  --target "$folder/site" "$folder"/streamdenoise-*.whl
PYTHONPATH=$PWD "$python" -m tests.docs.from_wheel "$folder/venv/bin/python" \
  --extras "$python" --site "$folder/site"
echo "the wheel works"
