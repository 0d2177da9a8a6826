"""Image files: opened safely, fitted to a model, masked, and written."""
