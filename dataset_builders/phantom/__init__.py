"""Synthetic breasts, their captions, DICOMs, tables and atlas PDFs. Nothing here is a real patient."""
