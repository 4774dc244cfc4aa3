"""What ledgers and Prefect's history bring to the store."""
