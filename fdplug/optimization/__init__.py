"""The best settings within a budget, searched over all that is installed and judged against fewer steps."""
