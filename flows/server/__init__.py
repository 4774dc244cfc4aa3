"""Prefect's server: which one, whether it answers, and what is kept there."""
