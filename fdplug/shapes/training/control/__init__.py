"""How `shapes-controlnet` was made: stages, and the log and loss curves of the shipped run."""
