#!/bin/sh
# Makes tests/.venv with httpbin and gunicorn, unless it is there already. Needs Python 3 and PyPI.
set -eu
cd "$(dirname "$0")"

packages="httpbin==0.10.2 gunicorn==23.0.0"

[ "$(cat .venv/packages 2>/dev/null || true)" = "$packages" ] && exit 0
rm -rf .venv
python3 -m venv .venv
# shellcheck disable=SC2086 # one word a package
.venv/bin/pip install --quiet --disable-pip-version-check $packages
# Written last: a venv that was not finished is made again.
echo "$packages" >.venv/packages
