"""An app on Argo Rollouts: the Rollout, the controller that it belongs to, and what people and Argo CD do to both."""
