"""Sequences through the node's own matcher and frontend, with figures of merit and reports."""
