"""The system that stands: its services, their supervisor and what it keeps alive."""
