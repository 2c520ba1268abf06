"""A release and files of mammograms → readings: scores, breasts and exams, warnings, and a page to look at."""
