#!/bin/sh
# Builds the image `proxq` (or IMAGE) with the first engine that answers: docker, podman, buildah (or ENGINE).
#
#   packaging/image.sh [OPTION …]   build; options go to the engine
#   packaging/image.sh engine       only say which engine
set -eu
cd "$(dirname "$0")/.."
image=${IMAGE:-proxq}

# A client alone is no engine: docker's needs a daemon.
engine() {
	if [ -n "${ENGINE:-}" ]; then
		echo "$ENGINE"
	elif docker version >/dev/null 2>&1; then
		echo docker
	elif podman info >/dev/null 2>&1; then
		echo podman
	elif buildah --version >/dev/null 2>&1; then
		echo buildah
	else
		echo "neither docker nor podman nor buildah answers; where there is apt: apt-get install buildah" >&2
		return 1
	fi
}

engine=$(engine)
if [ "${1:-}" = engine ]; then
	echo "$engine"
	exit
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
set -- --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --tag "$image" "$@" .
case "$engine" in
docker) docker build "$@" ;;
# Their own format, OCI, has no HEALTHCHECK.
podman) podman build --format docker "$@" ;;
# Works without a daemon, a runtime or kernel modules, in containers, too.
buildah)
	export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}" STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
	buildah build --format docker "$@"
	;;
*)
	echo "ENGINE=$engine: must be docker, podman or buildah" >&2
	exit 2
	;;
esac
