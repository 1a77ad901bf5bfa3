"""What is computed at replayed steps is looked at: whether rows see each other in it, whether it has changed."""
