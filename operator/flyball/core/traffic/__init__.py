"""What arrives, now and soon, and how much of a replica it takes."""
