"""The node on an image sequence, over DDS, with a report."""
