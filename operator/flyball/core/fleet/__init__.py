"""How many replicas: what one carries, what a miss costs, what is needed, and when to change it."""
