"""From crops to vectors: network, weights, features, training, export, precision."""
