"""One data set a file: its tables and folders → the index of a RecordBuilder."""
