"""Serving a release with Triton: environment, server, model repository, deployment, verification, client."""
