"""How far the simulator can be trusted: against measured engines, and against the model server played for real."""
