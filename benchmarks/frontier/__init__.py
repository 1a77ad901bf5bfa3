"""Where fewer steps win and where replaying does, on the embedded models."""
