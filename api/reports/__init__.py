"""Printable pages for planners, whole in themselves: no script, no network."""
