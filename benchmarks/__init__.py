"""Benchmarks: anyone can rerun them, and their results are kept with the hardware named."""
