#!/usr/bin/env bash
# Runs the test suite from scratch: system packages, a virtual environment, everything.
#
#   bash tests/run.sh [--fast] [PYTEST OPTIONS]
#
# --fast needs no root, no display and no servers, and takes about two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv-tests}
python=${PYTHON:-python3}
fast=
if [ "${1:-}" = --fast ]; then
  fast=1
  shift
fi

packages=()
has_library() { "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }
has_library libGL.so.1 || packages+=(libgl1)
has_library libglib-2.0.so.0 || packages+=(libglib2.0-0)
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
if [ -z "$fast" ]; then
  echo "Running all tests, in about ten minutes on two cores. Left out: GPUs" \
    "(needs_cuda, needs_nvdec, needs_nvenc), unless there is one, and what \`just slow\` runs."
  # The window is tested on a virtual screen, with real key presses.
  command -v Xvfb >/dev/null || packages+=(xvfb)
  command -v xdotool >/dev/null || packages+=(xdotool)
  # Streams come from real servers: GStreamer's RTSP server, in the system's Python, and VLC.
  /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null ||
    packages+=(python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly} glib-networking)
  command -v cvlc >/dev/null || packages+=(vlc-bin vlc-plugin-base)
  # SRT goes through an FFmpeg program: the system's, and the one of imageio-ffmpeg.
  command -v ffmpeg >/dev/null || packages+=(ffmpeg)
  # The clock of recording jobs is set.
  command -v faketime >/dev/null || packages+=(faketime)
  command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || packages+=(mosquitto)
  # Reports and the page of `serve` are opened in a real browser.
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
else
  echo "Running the fast tests, in about two minutes on two cores. Left out: windows," \
    "servers and networks (tests/io, tests/faults), engines (most of tests/inference)," \
    "export and training (tests/export, tests/train), reports (tests/measure), sample" \
    "scripts (tests/samples), GPUs."
fi
if [ ${#packages[@]} -gt 0 ]; then
  if [ -z "$fast" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
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

# Many tests wait for a network or a process: three at a time keep two cores busy. PyTorch's threads
# spin while they wait for each other, which takes minutes where there are too many.
# A test that is stuck inside a library ends its worker (see pyproject.toml), which ends the
# run: pytest-xdist 3.8 loses track of the tests of a worker that it replaces.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive
options=(-n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0)
if [ -n "$fast" ]; then
  exec "$venv/bin/python" -m pytest "${options[@]}" -m 'not needs_display and not slow' \
    tests/{cli,console,denoisers,docs,imaging,jobs,network,pipeline,service} \
    tests/inference/test_{backends,numerics}.py --ignore tests/cli/test_live_cli.py "$@"
fi
export STREAMDENOISE_REQUIRE=display,rtsp,ffmpeg,gstreamer,chromium,faketime,mosquitto
# Disks that are full or hang are mounted.
[ "$(id -u)" != 0 ] || STREAMDENOISE_REQUIRE+=,root
exec "$venv/bin/python" -m pytest "${options[@]}" -m "${MARK:-not slow}" "$@"
