"""Sequences through tracker and odometry, as the node would run them, here or in many processes."""
