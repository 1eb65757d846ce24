"""The log of a job: collected by `control`, read by `serve`, the same bytes for life."""
