"""Label audit: photos and people whose labels their faces contradict."""
