"""From a photo to faces to crops: decoding, MTCNN, alignment."""
