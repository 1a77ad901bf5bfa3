"""Files that a run writes: atomic, listed in a manifest, so that the same command goes on where it stopped."""
