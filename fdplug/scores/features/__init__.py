"""What scores are made of: networks that make features of images, their statistics, and real images to compare with.

Features are float32 whatever the precision of the model that generated the images. Nothing of `fdplug.predict` is
imported here, so that everything that generates images may use it.
"""

INCEPTION, SHAPES = "inception", "shapes"
"""The extractors that are no model of transformers: FID's own, and that of the embedded model."""
CLIP_MODEL = "openai/clip-vit-large-patch14"
