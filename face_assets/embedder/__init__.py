"""InceptionResnetV1: weights, features, training, evaluation, export, gallery."""
