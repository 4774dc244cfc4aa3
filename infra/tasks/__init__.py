"""Task lists: commands and Python callables as cases."""
