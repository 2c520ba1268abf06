"""How fast phantom mammograms are made at full size: in one process, and in two."""

import time
from itertools import islice

from machine import print_result

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_many

CASES = 24  # of four views each
SIZE = {"height": 1024, "width": 768}
WARM_UP = 8  # images before the clock starts: starting the workers is paid once, however many are made


def images_per_second(processes: int) -> float:
    cases = [draw_case(1, index) for index in range(CASES)]
    jobs = [(case, side, view, SIZE) for case in cases for side in "LR" for view in ("CC", "MLO")]
    views = render_many(jobs, processes=processes)
    list(islice(views, WARM_UP))
    began = time.perf_counter()
    made = sum(1 for _ in views)
    return made / (time.perf_counter() - began)


def main() -> None:
    one, two = images_per_second(1), images_per_second(2)
    print(f"phantoms of 1024 × 768: {one:.1f} images/s in one process, {two:.1f} in two")
    print_result(
        benchmark="phantom images per second",
        images_per_second=round(two, 1),
        images_per_second_one_process=round(one, 1),
        two_processes_to_one=round(two / one, 2),
    )


if __name__ == "__main__":
    main()
