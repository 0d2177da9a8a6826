"""One module a verb: parse the options, build, run, report."""
