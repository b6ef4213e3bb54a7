#!/bin/sh
# Gets a program of Debian's for the tests, unless it is on the PATH already.
# Its package is unpacked into .cluster/bin and not installed: so no root is needed, and no service is started.
#
#   debian.sh package [directory]     the program is called as its package is
set -eu

here=$(cd "$(dirname "$0")" && pwd)
package=$1
bin=${2:-"$here/../.cluster/bin"}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)

if there=$(command -v "$package" || command -v "$bin/$package"); then
    echo "There is a $package: $there."
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "Tests on real parts need Debian's package $package, and there is no apt-get here: put a $package on the PATH." >&2
    exit 1
fi

echo "Getting $package into $bin: a few seconds."
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
if ! (cd "$unpacked" && apt-get download --quiet "$package" >log 2>&1); then
    cat "$unpacked/log" >&2
    echo "apt-get cannot get $package: run apt-get update as root, and look whether the network is open." >&2
    exit 1
fi
dpkg -x "$unpacked/$package"_*.deb "$unpacked"
cp "$unpacked/usr/bin/$package" "$bin/$package"
"$bin/$package" --version
