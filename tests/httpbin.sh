#!/bin/sh
# Makes tests/.venv with httpbin and gunicorn, unless it is there already. Needs PyPI, and Python 3 with venv, which
# are installed where there is apt.
set -eu
cd "$(dirname "$0")"

packages="httpbin==0.10.2 gunicorn==23.0.0"

[ "$(cat .venv/packages 2>/dev/null || true)" = "$packages" ] && exit 0

if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
	as_root=""
	[ "$(id -u)" -eq 0 ] || as_root="sudo"
	command -v apt-get >/dev/null || { echo "install Python 3 with its venv module, then try again" >&2; exit 1; }
	$as_root apt-get update -qq
	$as_root apt-get install -y -qq python3 python3-venv
fi
rm -rf .venv
python3 -m venv .venv
# shellcheck disable=SC2086 # one word a package
.venv/bin/pip install --quiet --disable-pip-version-check $packages
# Written last: a venv that was not finished is made again.
echo "$packages" >.venv/packages
