"""ROS bags, read and written without ROS."""
