"""Figures and captions out of atlas PDFs."""
