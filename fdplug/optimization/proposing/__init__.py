"""What there is to try, and the settings that a proposal stands for."""
