"""Variants side by side: generated in interleaved rounds, scored, put in one table."""
