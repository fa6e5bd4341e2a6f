#!/bin/sh
# Installs what the tests need beside Rust: curl, nginx, redis-server, Node.js, Python 3 with venv (all by apt where they
# are missing), and in tests/.venv httpbin, gunicorn and Python's HTTP clients from PyPI. Does nothing where everything is
# there.
set -eu
cd "$(dirname "$0")"
# Where Debian has nginx, and users who are not root do not look.
PATH="$PATH:/usr/sbin:/sbin"

missing=""
command -v curl >/dev/null || missing="$missing curl"
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v node >/dev/null || missing="$missing nodejs"
command -v redis-server >/dev/null || missing="$missing redis-server"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3 python3-venv"
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || { echo "install these, then try again:$missing" >&2; exit 1; }
	as_root=""
	[ "$(id -u)" -eq 0 ] || as_root="sudo"
	$as_root apt-get update -qq
	# shellcheck disable=SC2086 # one word a package
	$as_root apt-get install -y -qq $missing
	# Packages of servers start them, now and whenever the machine does. The tests start their own.
	for server in nginx redis-server; do
		case "$missing" in
		*"$server"*)
			$as_root service "$server" stop || true # it may never have begun: its port is taken, or a policy forbids it
			$as_root update-rc.d "$server" disable
			;;
		esac
	done
fi

packages="httpbin==0.10.2 gunicorn==23.0.0 requests==2.34.2 httpx==0.28.1"
[ "$(cat .venv/packages 2>/dev/null || true)" = "$packages" ] && exit 0
rm -rf .venv
python3 -m venv .venv
# shellcheck disable=SC2086 # one word a package
.venv/bin/pip install --quiet --disable-pip-version-check $packages
# Written last: a venv that was not finished is made again.
echo "$packages" >.venv/packages
