"""Images of this node are names of environments: which ones there are, and how they come to be installed."""
