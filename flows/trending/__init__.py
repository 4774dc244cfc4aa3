"""Findings confirmed, bisected and told."""
