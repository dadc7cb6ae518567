"""The web service: recognition and people over HTTP, and pages of them. The work is Triton's."""
