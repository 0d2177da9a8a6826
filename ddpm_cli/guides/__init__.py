"""What steers a walk beside the model: one guide a file."""
