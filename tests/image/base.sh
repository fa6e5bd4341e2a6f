#!/bin/sh
# Makes the base image of the Dockerfile's builder on this machine, for buildah, where no registry can be reached:
# Debian by debootstrap, and this machine's Rust toolchain. Its one argument is the name that the Dockerfile asks for.
set -eu
name=$1
tag=${name##*:}
version=${tag%%-*} # of 1.95.0-slim-trixie
release=${tag##*-}

command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
[ "$(rustc --version | cut -d ' ' -f 2)" = "$version" ] || echo "warning: this is not Rust $version: $(rustc --version)" >&2

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,make "$release" "$root" >&2
sysroot=$(rustc --print sysroot)
cp -a "$sysroot/lib" "$root/usr/local/"
cp -a "$sysroot/bin/cargo" "$sysroot/bin/rustc" "$root/usr/local/bin/"
# By the label the caller knows that the toolchain came without a way to crates.io.
buildah config --label proxq.local=true --env PATH=/usr/local/bin:/usr/bin:/bin --env CARGO_HOME=/usr/local/cargo "$container"
buildah commit --quiet "$container" "$name" >&2
