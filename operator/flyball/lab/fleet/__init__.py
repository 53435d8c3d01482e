"""A simulated fleet of continuous-batching replicas: discrete events, a modelled scraper, no wall clock."""
