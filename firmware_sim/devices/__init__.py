"""Devices that behave and misbehave, and the formats they speak."""
