"""Trained agents as engines of other programs: Go by GTP, chess by UCI, over standard input and output."""
