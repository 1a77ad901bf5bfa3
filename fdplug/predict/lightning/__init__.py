"""Generation as a Lightning prediction: the module, the image writer, the callbacks."""
