#!/usr/bin/env bash
# The main job on a sample clip, from scratch: makes a virtual environment, installs
# streamdenoise without PyTorch, cleans a clip, and leaves a clean video and an image.
#
#   bash samples/demo.sh [CLIP]
set -euo pipefail
cd "$(dirname "$0")/.."
clip=${1:-samples/night_street.mp4}
out=demo
python=${PYTHON:-python3}

missing() { # installs Debian packages that a fresh machine lacks
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
  else
    echo "error: $* missing on this machine; run: sudo apt-get install $*" >&2
    exit 1
  fi
}

if [ ! -x .venv/bin/python ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing python3-venv
  "$python" -m venv .venv
fi
echo "installing streamdenoise into .venv (about 215 MB to download, no PyTorch)"
.venv/bin/pip install --quiet --disable-pip-version-check .
# OpenCV's wheel needs two system libraries.
.venv/bin/python -c 'import cv2' 2>/dev/null || missing libgl1 libglib2.0-0

mkdir -p "$out"
.venv/bin/streamdenoise file "$clip" -o "$out/clean.mp4" --overwrite
.venv/bin/streamdenoise file "$clip" -o "$out/before_after.mp4" --compare side \
  --overwrite --quiet
.venv/bin/python samples/save_frame.py "$out/before_after.mp4" "$out/before_after.png"
echo "clean video:          $out/clean.mp4"
echo "before | after video: $out/before_after.mp4"
echo "before | after still: $out/before_after.png"
