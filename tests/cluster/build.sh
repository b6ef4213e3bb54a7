#!/bin/sh
# Builds the real control plane (etcd, kube-apiserver, kube-controller-manager, kubectl) and Argo Rollouts (its controller,
# its plugin for kubectl, its CRDs) into .cluster/bin.
# The versions are those of go.mod beside this file; nothing is done while they have not changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-"$here/../../.cluster/bin"}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
stamp="$bin/built-from"

if ! command -v go >/dev/null; then
    echo "Building the control plane needs Go 1.25 or newer (https://go.dev/dl), and there is no go on the PATH." >&2
    exit 1
fi

wanted="$(cat "$here/go.mod" "$here/go.sum" | cksum) $(go env GOVERSION GOOS GOARCH | tr '\n' ' ')"

there() {
    for name; do [ -e "$bin/$name" ] || return 1; done
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] &&
    there server kube-apiserver kube-controller-manager kubectl rollouts-controller kubectl-argo-rollouts \
        crds/version; then
    echo "The control plane in $bin is up to date."
    exit 0
fi

echo "Building the control plane into $bin: about 10 minutes on 2 cores the first time, seconds from a warm Go cache."
rm -f "$stamp"
started=$(date +%s)
# Without debugging symbols, which nobody will look at; so the six programs take 0.6 GB.
(cd "$here" && GOBIN="$bin" go install -ldflags="-s -w" tool)
# The tests need no Go: so the CRDs are beside the controller that they belong to.
module=$(cd "$here" && go list -m -f '{{.Dir}}' github.com/argoproj/argo-rollouts)
rm -rf "$bin/crds"
mkdir "$bin/crds"
cp "$module"/manifests/crds/*-crd.yaml "$bin/crds/"
chmod u+w "$bin"/crds/*
(cd "$here" && go list -m -f '{{.Version}}' github.com/argoproj/argo-rollouts) >"$bin/crds/version"
echo "$wanted" >"$stamp"
echo "Built in $(($(date +%s) - started)) s."
