"""Parameters of the node, declared once. Nothing in here imports ROS."""
