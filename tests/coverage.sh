#!/bin/sh
# Runs all tests and reports which lines they reach; fails below 90 % of the library crates. Needs cargo-llvm-cov and
# LLVM's tools of the version that rustc is built with: the toolchain's own (`rustup component add llvm-tools`), or apt's.
set -eu
cd "$(dirname "$0")/.."

sysroot_tools="$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin"
if [ ! -x "$sysroot_tools/llvm-cov" ]; then
	version="$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"
	if ! command -v "llvm-cov-$version" >/dev/null; then
		command -v apt-get >/dev/null || { echo "run: rustup component add llvm-tools" >&2; exit 1; }
		as_root=""
		[ "$(id -u)" -eq 0 ] || as_root="sudo"
		$as_root apt-get update -qq
		$as_root apt-get install -y -qq "llvm-$version"
	fi
	LLVM_COV="$(command -v "llvm-cov-$version")"
	LLVM_PROFDATA="$(command -v "llvm-profdata-$version")"
	export LLVM_COV LLVM_PROFDATA
fi
exec "${CARGO:-cargo}" llvm-cov --workspace --locked --ignore-filename-regex '^(.*/)?(examples|tests|proxq-bench)/' --fail-under-lines 90
