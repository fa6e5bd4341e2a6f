#!/bin/sh
# Builds the image and tries it. Where no registry answers, buildah gets a base image made on this machine, and the
# crates from this machine's cargo.
set -eu
cd "$(dirname "$0")/../.."

packaging/image.sh engine >/dev/null 2>&1 ||
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah; }
engine=$(packaging/image.sh engine)
export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}" STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
export IMAGE="${IMAGE:-localhost/proxq}"
base=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' Dockerfile)

if [ "$engine" = buildah ] && ! buildah pull --quiet --policy missing "$base" >/dev/null; then
	echo "$base cannot be pulled: making a base image of that name on this machine" >&2
	tests/image/base.sh "$base"
fi
label='{{index .OCIv1.Config.Labels "proxq.local"}}'
if [ "$engine" = buildah ] && [ "$(buildah inspect --type image --format "$label" "$base")" = true ]; then
	cargo fetch --locked
	packaging/image.sh --pull=never --build-arg CARGO_NET_OFFLINE=true \
		--volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry:ro"
else
	packaging/image.sh
fi
python3 tests/image/trial.py "$engine" "$IMAGE"
