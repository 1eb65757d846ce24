"""Runs beside the user's container: fetches its inputs, sends its outputs; imports nothing of longshore."""
