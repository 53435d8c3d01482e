"""The commands `flyball` and `kubectl flyball`."""
