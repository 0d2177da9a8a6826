"""What readers of single formats are made of."""
