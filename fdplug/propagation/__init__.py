"""The engine: what happens while a propagated pipeline runs."""
