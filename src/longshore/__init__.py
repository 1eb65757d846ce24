"""longshore runs work on Kubernetes for many tenants, with the cluster as its only database."""

__version__ = "0.1.0"
