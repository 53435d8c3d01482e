"""kopf handlers, the evaluation loop and settings: the only room that knows all the others."""
