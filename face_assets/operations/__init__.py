"""What the command does: runs, questions to the server, releases, reports, services, the demo."""
