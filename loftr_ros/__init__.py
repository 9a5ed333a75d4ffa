"""LoFTR for ROS 2: dense matches, tracks and relative poses from camera images.

Each room of the package is imported on its own (`loftr_ros.matching`, `loftr_ros.geometry`, ...),
so that importing one never loads the dependencies of another.
"""
