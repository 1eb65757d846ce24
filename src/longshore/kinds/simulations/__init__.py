"""SUMO traffic simulations."""
