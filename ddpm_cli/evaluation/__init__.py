"""Measuring models and the installation itself."""
