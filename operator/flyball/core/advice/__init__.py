"""What is worked out for people and nobody acts on: capacity plans, and rival policies beside Flyball."""
