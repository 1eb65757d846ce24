"""Keeps records, logs and artifacts in object storage and knows no kind."""
