"""What an evaluation writes: records of frames and loops, their figures, and the files."""
