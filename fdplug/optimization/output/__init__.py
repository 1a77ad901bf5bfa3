"""What a search says: its progress, its table, and its page."""
