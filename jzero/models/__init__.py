"""What search plans with, and how it is asked."""
