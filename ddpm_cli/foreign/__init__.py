"""Files of other programs: what they are, told by their first bytes, and the way out."""
