"""Rounds, live or over files: from readings to findings, what they cost, how they are shown."""
