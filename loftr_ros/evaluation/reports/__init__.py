"""HTML pages about runs and comparisons of runs."""
