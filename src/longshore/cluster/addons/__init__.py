"""Add-ons of a local cluster: servers that run beside the control plane, each built from a pinned Go module."""
