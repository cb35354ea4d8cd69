"""Trained agents as engines for other programs: Go with GTP, chess with UCI, over standard input and output."""
