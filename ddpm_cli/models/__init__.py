"""A checkpoint brought to life: built, walked and priced."""
