"""What ran, what it cost, and on what machine."""
