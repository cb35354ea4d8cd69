"""Runs: settings from a command line, the loop around the compiled program, what it says."""
