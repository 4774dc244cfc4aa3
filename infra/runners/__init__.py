"""On a worker: the slots, the runners in them, and what becomes of their processes."""
