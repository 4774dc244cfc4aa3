"""A campaign while it runs: its loop, what it hears of the fleet and what it sends."""
