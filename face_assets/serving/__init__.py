"""Serving of a release with Triton: environment, server, model repository, deployment, deployment check, client."""
