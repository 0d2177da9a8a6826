"""The mathematics of diffusion models on tensors: no files, no printing, no configuration."""
