"""What the `tenku` command offers, one file for each kind of work. torch is imported inside the functions."""
