"""Datasets and bags through the package's own matcher and frontend, with figures of merit.

Nothing in here imports ROS: bags are read and written with `rosbags`.
"""
