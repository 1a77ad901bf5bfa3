"""Lightning callbacks: scores, costs, progress, summary."""
