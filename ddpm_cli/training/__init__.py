"""Training: the loop, its state and what is computed at each step."""
