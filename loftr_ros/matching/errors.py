"""Errors that a user of the matching room can act on."""


class ImageError(ValueError):
    """An image that cannot be matched: wrong shape, type or values."""


class WeightsError(ValueError):
    """Weights that are missing, damaged, or not those of the configuration."""
