#!/bin/sh
# Installs what the tests need beside Rust: curl, nginx, openssl, redis-server, script, Node.js, Python 3 with venv, Chromium, promtool
# from the package prometheus (all by apt where they are missing); in tests/.venv httpbin, gunicorn and Python's HTTP clients
# and SDKs from PyPI; in tests/clients/node SDKs and a driver for browsers from npm. Does nothing where everything is there.
set -eu
cd "$(dirname "$0")"
# Where Debian has nginx, and users who are not root do not look.
PATH="$PATH:/usr/sbin:/sbin"

missing=""
# Only recommended by what needs them.
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
command -v chromium >/dev/null || missing="$missing chromium"
command -v curl >/dev/null || missing="$missing curl"
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v node >/dev/null || missing="$missing nodejs"
command -v openssl >/dev/null || missing="$missing openssl"
command -v promtool >/dev/null || missing="$missing prometheus"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v script >/dev/null || missing="$missing bsdutils"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3 python3-venv"
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || { echo "install these, then try again:$missing" >&2; exit 1; }
	as_root=""
	[ "$(id -u)" -eq 0 ] || as_root="sudo"
	$as_root apt-get update -qq
	# shellcheck disable=SC2086 # one word a package
	$as_root apt-get install -y -qq --no-install-recommends $missing
	# Packages of servers start them, now and whenever the machine does. The tests start their own.
	for server in nginx prometheus redis-server; do
		case "$missing" in
		*"$server"*)
			$as_root service "$server" stop || true # it may never have begun: its port is taken, or a policy forbids it
			$as_root update-rc.d "$server" disable
			;;
		esac
	done
fi

packages="httpbin==0.10.2 gunicorn==23.0.0 requests==2.34.2 httpx==0.28.1 openai==3.57.0 anthropic==2.14.0"
if [ "$(cat .venv/packages 2>/dev/null || true)" != "$packages" ]; then
	rm -rf .venv
	python3 -m venv .venv
	# shellcheck disable=SC2086 # one word a package
	.venv/bin/pip install --quiet --disable-pip-version-check $packages
	# Written last: a venv that was not finished is made again.
	echo "$packages" >.venv/packages
fi

# npm's own package contains everything that npm needs. Debian's package of npm brings some 300 others.
npm_version="10.9.9"
npm_sha256="c80bd097147cce32e31010b791bab8c71a26a5e10668210ec9d2e7f4c7cea2a1"
cd clients/node
if ! cmp -s package-lock.json node_modules/installed-lock.json; then
	rm -rf node_modules
	npm="npm"
	if ! command -v npm >/dev/null; then
		folder="$(mktemp -d)"
		trap 'rm -rf "$folder"' EXIT
		curl -fsSL --retry 3 -o "$folder/npm.tgz" "https://registry.npmjs.org/npm/-/npm-$npm_version.tgz"
		echo "$npm_sha256  $folder/npm.tgz" | sha256sum --check --quiet
		tar -xzf "$folder/npm.tgz" -C "$folder"
		npm="node $folder/package/bin/npm-cli.js"
	fi
	$npm ci --silent --ignore-scripts --no-audit --no-fund
	# Written last, too.
	cp package-lock.json node_modules/installed-lock.json
fi
