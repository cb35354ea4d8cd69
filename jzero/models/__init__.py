"""Models that the search plans with, and the search over a model."""
