"""Tasks, the published API of seed 3: made from the operator's template, run as Jobs or by the service itself."""
