"""Videos and pictures: clips in memory, files, contact sheets, fitting frames to a size and rate."""
