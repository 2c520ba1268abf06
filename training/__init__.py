"""What training needs and nothing else does."""
