"""From a loaded pipeline and some captions to images."""
