"""Image sets to train on and to compare with."""
