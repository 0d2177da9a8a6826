"""Noise schedules: tables of levels, continuous processes, learned ones."""
