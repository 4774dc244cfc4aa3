"""The verbs of the command line: their flags and help."""
