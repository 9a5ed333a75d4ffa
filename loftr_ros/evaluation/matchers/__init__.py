"""Matchers on pairs of images with true poses."""
