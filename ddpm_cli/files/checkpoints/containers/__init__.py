"""Files of other programs as plain trees of tensors: no code in them is ever run."""
