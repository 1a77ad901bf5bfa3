"""How the `shapes-flow` model was made: stages and optimiser, and the log and loss curves of the shipped run."""
