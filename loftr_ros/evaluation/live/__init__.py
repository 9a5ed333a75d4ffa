"""The node itself on a bag that is played, recorded and compared with the replay."""
