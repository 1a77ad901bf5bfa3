"""Blind votes on the pictures of a comparison: pairs to choose from, votes, and what they add up to."""
