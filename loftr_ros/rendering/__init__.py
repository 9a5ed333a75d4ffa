"""Textured planes seen by pinhole cameras: images with true depth, batched, on any torch device."""
