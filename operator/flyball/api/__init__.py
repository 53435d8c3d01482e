"""The resources as users write them: pydantic models, defaults by workload type, and the CRD generator."""
