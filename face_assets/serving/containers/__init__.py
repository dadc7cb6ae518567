"""The docker target: releases as images, blue and green servers behind HAProxy."""
