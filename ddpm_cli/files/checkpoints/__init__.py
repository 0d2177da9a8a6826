"""Checkpoints and what belongs to them: finding, moments, latents, run folders."""
