"""What is taken where a score names no model of its own."""

from __future__ import annotations

CLIP_MODEL = "openai/clip-vit-large-patch14"
INCEPTION = "inception"
