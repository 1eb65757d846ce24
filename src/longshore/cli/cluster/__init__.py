"""`longshore cluster ...`: the local cluster from the command line; useful without anything else of longshore."""
