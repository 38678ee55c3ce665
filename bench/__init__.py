"""Benchmarks: this project beside its peers, on one machine in one run (bench/README.md)."""
