"""Samplers: steps from a noise level t to a level s; each is one function (see walk.Step)."""
