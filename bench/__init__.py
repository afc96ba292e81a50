"""Workloads beside their rivals: seeded inputs, verified outputs, ratios within one run."""
