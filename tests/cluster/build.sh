#!/bin/sh
# Builds the real control plane (etcd, kube-apiserver, kube-controller-manager, kubectl), Argo Rollouts (its controller,
# its plugin for kubectl, its CRDs) and k6 into .cluster/bin, or into the directory that is named.
#
#   build.sh [directory]
#   build.sh directory version     another version of Argo Rollouts alone; argo/ has those that there are
#
# All versions are those of a go.mod; nothing is done while it has not changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-"$here/../../.cluster/bin"}
module="$here${2:+/argo/$2}"
# k6 needs other versions of what the control plane stands on.
if [ $# -lt 2 ]; then load="$here/k6"; else load=; fi
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
stamp="$bin/built-from"

if ! command -v go >/dev/null; then
    echo "Building the control plane needs Go 1.25 or newer (https://go.dev/dl), and there is no go on the PATH." >&2
    exit 1
fi
if ! [ -f "$module/go.mod" ]; then
    echo "There is no $module/go.mod; the versions that there are: $(ls "$here/argo" | tr '\n' ' ')" >&2
    exit 1
fi

wanted="$(cat "$module/go.mod" "$module/go.sum" ${load:+"$load/go.mod" "$load/go.sum"} | cksum) $(go env GOVERSION GOOS GOARCH | tr '\n' ' ')"
# A program is called as the last part of its package's path, but for a version; so etcd's is `server`.
programs=$(sed -n '/^tool (/,/^)/s/^\t//p' "$module/go.mod" | sed -E 's#/v[0-9]+$##; s#.*/##')${load:+ k6}

there() {
    for name; do [ -e "$bin/$name" ] || return 1; done
}

# shellcheck disable=SC2086 # one word for each program
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && there $programs crds/version; then
    echo "What is in $bin is up to date."
    exit 0
fi

echo "Building" $programs "into $bin: about 10 minutes on 2 cores the first time, seconds from a warm Go cache."
rm -f "$stamp"
started=$(date +%s)
# Without debugging symbols, which nobody will look at; so all programs of the control plane take 0.5 GB.
for each in "$module" ${load:+"$load"}; do
    (cd "$each" && GOBIN="$bin" go install -ldflags="-s -w" tool)
done
# The tests need no Go: so the CRDs are beside the controller that they belong to.
source=$(cd "$module" && go list -m -f '{{.Dir}}' github.com/argoproj/argo-rollouts)
rm -rf "$bin/crds"
mkdir "$bin/crds"
cp "$source"/manifests/crds/*-crd.yaml "$bin/crds/"
chmod u+w "$bin"/crds/*
(cd "$module" && go list -m -f '{{.Version}}' github.com/argoproj/argo-rollouts) >"$bin/crds/version"
echo "$wanted" >"$stamp"
echo "Built in $(($(date +%s) - started)) s."
