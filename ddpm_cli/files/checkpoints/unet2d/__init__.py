"""UNet2DModel and the schedulers of diffusers in our terms, and ours in theirs."""
