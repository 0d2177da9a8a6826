"""Reading and writing files: atomic replacement, images, checkpoints."""
