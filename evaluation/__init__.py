"""Predictions into numbers, pictures and reports."""
