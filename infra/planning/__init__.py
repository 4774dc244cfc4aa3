"""Which fleet to get: allocation, bounds, and the search over mixes of workers."""
