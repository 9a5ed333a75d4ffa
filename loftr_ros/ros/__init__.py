"""The node and everything that needs a running ROS 2: no other room imports rclpy."""
