"""Names of topics that launch files derive from others."""

from __future__ import annotations

TRANSPORTS = ('compressed', 'compressedDepth')


def camera_info_beside(image: str, unmapped: str, default: str) -> str:
    """Return the calibration topic that drivers publish beside a topic of images.

    /camera/image_raw has its calibration on /camera/camera_info, as image_transport expects it, and
    so has /camera/image_raw/compressed; a topic that was not remapped keeps the default.
    """
    base, _, transport = image.rpartition('/')
    image = base if base and transport in TRANSPORTS else image
    if image == unmapped:
        return default
    namespace, slash, _ = image.rpartition('/')
    return f'{namespace}{slash}camera_info'


def output_topic(output: str, node_name: str, remappings: str) -> str:
    """Return where the node publishes an output of its own, relative to its namespace or not."""
    rules = dict(part.split(':=', 1) for part in remappings.split() if ':=' in part)
    return rules.get(f'~/{output}', f'{node_name}/{output}')
