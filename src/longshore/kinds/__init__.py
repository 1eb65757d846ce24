"""One folder for each kind of work; all have the same few files."""
