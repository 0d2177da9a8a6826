"""What may be asked for: components, configurations, presets, seeds; no torch."""
