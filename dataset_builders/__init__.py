"""Archives and atlases into records and pairs; labels and folds.

`from dataset_builders.building import build_dataset`, `from dataset_builders.atlas_pairs import extract_pairs`.
"""
