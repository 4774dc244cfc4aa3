"""Workers: their classes, where they come from, and what they offer."""
