"""Measures: how close pictures are, whether a prompt was followed, how things move."""
