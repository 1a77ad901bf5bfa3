"""One call of a network: whose it is, what it was given, and which call of its step it is."""
