#!/bin/sh
# Gets Debian's docker-registry for the tests on a real registry, unless it is on the PATH already.
# The package is unpacked into .cluster/bin and not installed: so no root is needed, and no service is started.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-"$here/../../.cluster/bin"}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)

if there=$(command -v docker-registry || command -v "$bin/docker-registry"); then
    echo "The registry is there: $there."
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "The tests on a real registry need Debian's package docker-registry, and there is no apt-get here:" \
        "put a docker-registry 2.8 (CNCF distribution) on the PATH." >&2
    exit 1
fi

echo "Getting docker-registry into $bin: a few seconds."
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
if ! (cd "$unpacked" && apt-get download --quiet docker-registry >log 2>&1); then
    cat "$unpacked/log" >&2
    echo "apt-get cannot get docker-registry: run apt-get update as root, and look whether the network is open." >&2
    exit 1
fi
dpkg -x "$unpacked"/docker-registry_*.deb "$unpacked"
cp "$unpacked/usr/bin/docker-registry" "$bin/docker-registry"
"$bin/docker-registry" --version
