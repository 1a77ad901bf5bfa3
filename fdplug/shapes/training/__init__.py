"""How the `shapes` model was made: one file per stage, and the log and loss curves of the run that shipped."""
