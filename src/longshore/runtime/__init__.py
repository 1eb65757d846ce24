"""Runs controllers and knows no kind."""
