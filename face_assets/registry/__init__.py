"""The data repository: git, DVC and GTO; read at a commit, releases, stages."""
