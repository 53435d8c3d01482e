"""What no policy can beat, and what perfect foresight, constant fleets and a single replica reach."""
