"""From bytes to faces to vectors, with numpy, Pillow and OpenVINO alone: the server runs these very files."""
