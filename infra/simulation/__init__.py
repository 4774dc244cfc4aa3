"""Campaigns on a virtual clock, run by the dispatcher that runs real ones."""
