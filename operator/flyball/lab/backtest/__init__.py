"""What Flyball would have done with a workload's recorded past."""
