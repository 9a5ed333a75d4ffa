"""Datasets and bags as sequences of frames with true poses, read from disk and written to it.

Nothing in here imports ROS: bags are read and written with `rosbags`.
"""
