"""Workers from Prefect's work pools."""
