"""Where results go: samples, edits, frames, numbers, plots and curves."""
