"""Jobs as they change, for whoever listens."""
