"""What fewer steps, and propagation, cost on `shapes`."""
