"""An app on plain Kubernetes: two Deployments behind an active and a preview Service."""
