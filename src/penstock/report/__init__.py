"""What a run leaves behind: the report, its records, and the progress shown on the way."""
