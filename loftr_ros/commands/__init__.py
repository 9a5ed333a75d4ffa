"""The command line `loftr-ros`."""
