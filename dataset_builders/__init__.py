"""Archives and atlases into records and pairs; labels and folds."""
