"""The host driver: pure code between a front-end and the agents."""
