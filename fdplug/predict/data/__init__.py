"""Captions, prompts and labels: what images are generated from, which of them, and in which batches."""
