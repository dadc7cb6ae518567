"""Storage on this machine: the state directory, artifacts, content stores."""
