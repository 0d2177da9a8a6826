"""Training objectives: (denoise, x0 [B, ...], t [B], rng) -> loss of each image [B]."""
