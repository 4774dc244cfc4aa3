"""What happened, on disk before it counts: journals, who may write them, reading them back."""
