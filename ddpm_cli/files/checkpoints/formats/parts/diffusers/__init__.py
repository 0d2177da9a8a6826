"""Networks and schedulers of diffusers in our terms, and ours in theirs."""
