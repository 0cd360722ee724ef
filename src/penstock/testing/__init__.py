"""Aids for tests and benchmarks of code that plans and runs task graphs."""
