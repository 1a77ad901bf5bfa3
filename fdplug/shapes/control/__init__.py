"""What `shapes-controlnet` adds to `shapes`: pictures of outlines, its ControlNet, and how well it obeys."""
