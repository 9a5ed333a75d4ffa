"""ROS messages to plain data and back. Knows the messages, but not rclpy."""
