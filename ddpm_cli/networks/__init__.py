"""Networks: (x [B, C, H, W], label [B], classes [B] or None) -> [B, C or 2 C, H, W]."""
