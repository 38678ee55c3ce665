"""Coverage-guided fuzzing of every parser that reads bytes of others; see run.py."""
