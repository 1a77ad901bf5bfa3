"""Metrics of images: distances between sets, scores of single images, and differences between pairs.

One noun per file, and nothing of `fdplug.predict` is imported here, so that everything that draws images may use them.
Features and sums are float32 or wider whatever the precision of the model that drew the images.
"""
