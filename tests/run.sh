#!/usr/bin/env bash
# Runs the test suite from nothing: system packages, a virtual environment, everything.
#
#   bash tests/run.sh [PYTEST OPTIONS]
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv-tests}
python=${PYTHON:-python3}

# The window is tested on a virtual screen, with real key presses.
packages=()
command -v Xvfb >/dev/null || packages+=(xvfb)
command -v xdotool >/dev/null || packages+=(xdotool)
ldconfig -p | grep -q 'libGL\.so\.1' || packages+=(libgl1)
ldconfig -p | grep -q 'libglib-2\.0\.so\.0' || packages+=(libglib2.0-0)
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >/dev/null
  else
    echo "error: the tests need these packages: sudo apt-get install ${packages[*]}" >&2
    exit 1
  fi
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
  --constraint tests/constraints.txt --editable '.[dev]'
STREAMDENOISE_REQUIRE=display "$venv/bin/python" -m pytest "$@"
