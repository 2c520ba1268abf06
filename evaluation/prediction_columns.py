"""The columns of saved predictions, for those who write them and those who read them."""

from dataset_builders.birads import DENSITIES, FIVE_CLASSES

CLASSES = {"birads": FIVE_CLASSES, "density": DENSITIES}
PROBABILITIES = {
    task: tuple(f"p_{task}_{str(value).lower()}" for value in values) for task, values in CLASSES.items()
}
IDENTITY = ("patient_id", "exam_id", "laterality", "view")
