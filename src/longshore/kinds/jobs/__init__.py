"""Containers that run to an end: the record every other kind shares."""
