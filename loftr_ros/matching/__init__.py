"""LoFTR itself: images in, matches out. Knows no ROS and no poses."""
