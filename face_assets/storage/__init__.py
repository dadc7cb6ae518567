"""Where results lie on this machine: the state directory, artifacts, content stores."""
