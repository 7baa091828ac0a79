"""Metrics, TensorBoard tags and tables."""
