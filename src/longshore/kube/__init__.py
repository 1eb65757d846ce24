"""Talks to Kubernetes and knows no product; usable alone."""
