"""A campaign from a request to its closing line."""
