"""What every benchmark is run with: fresh processes, the simulated API server and its Jobs, results and their table."""
