"""What answers are worth, and whether they return what they cost."""
