"""A small retrieval application in front of a model server, whose requests pass several stages and leave spans."""
