"""Argo CD beside the cluster: it applies what is in Git, and puts back what others change of it.

    app = cluster.argocd.install("mochi", manifests, options=["ServerSideApply=true"])
    app.commit(newer_manifests)
    cluster.settle()
    app.revision                                    # what Git asks for

The Application is an object like any other (`applications`, in the namespace `argocd`), and its spec is what counts:
`syncPolicy`, `ignoreDifferences`, `operation`. `controller.py` says when it syncs, `comparing.py` what is drift.
"""

from sandbox.cluster.argocd.controller import ArgoCD, Tracked

__all__ = ["ArgoCD", "Tracked"]
