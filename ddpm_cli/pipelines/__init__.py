"""The work of each verb: a typed request in, results out; no command line."""
