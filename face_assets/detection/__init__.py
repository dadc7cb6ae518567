"""Detection of faces and alignment to crops: MTCNN, its networks, and the crop store."""
