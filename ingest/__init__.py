"""Bytes in, readings kept."""
