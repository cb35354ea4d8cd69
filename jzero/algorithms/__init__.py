"""Targets and losses of the algorithms."""
