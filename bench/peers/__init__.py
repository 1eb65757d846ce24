"""Other clients, each used as its own documentation shows; every function here runs in a process of its own."""
