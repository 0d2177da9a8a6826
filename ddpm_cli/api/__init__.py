"""The verbs of the command line on tensors, for scripts and notebooks; see `ddpm_cli`."""
