"""What `make bench` measures: each figure beside what it is held against, in one run on one machine."""
