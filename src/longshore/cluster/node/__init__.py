"""A Kubernetes node that runs pods as processes of the user."""
