"""Docker target: releases as images, servers in a blue and a green slot behind HAProxy."""
