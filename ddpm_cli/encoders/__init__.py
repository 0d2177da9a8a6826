"""Frozen encoders of texts, whose outputs stay in the cache folder: open_clip's, transformers'."""
