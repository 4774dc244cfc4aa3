"""How large the fleet is to be, and why."""
