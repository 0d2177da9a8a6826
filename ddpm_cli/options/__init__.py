"""The options that verbs share."""
