"""What Prefect is told of a campaign."""
