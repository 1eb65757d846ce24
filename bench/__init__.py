"""Reproducible benchmarks: `make bench`. Each file here is one; bench/README.md says what each measures."""
