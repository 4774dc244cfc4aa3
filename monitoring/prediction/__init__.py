"""What the next run of each case will take and need."""
