"""What happened and what it means: reports, the store and trend analysis."""
