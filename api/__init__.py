"""Findings into work: the composer, and the face of the program."""
