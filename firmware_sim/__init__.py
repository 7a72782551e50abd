"""Simulated devices that behave and misbehave, with known truth."""
