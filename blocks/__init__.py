"""What a person configures in Prefect and a flow reads."""
