"""Faults on purpose: kinds, leases that undo them, experiments and their verdicts."""
