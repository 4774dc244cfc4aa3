"""Prefect flows: thin orchestration around the engine in `infra` and `monitoring`."""
