"""The node and everything that knows ROS 2: no other room imports rclpy or messages."""
