"""Parameters of what does not ask how good an embedder is: small crops, a few people, no training."""

UNTRAINED = """
split: {validation: 0.1, test: 0.3, min_test_people: 2}
detector: {image_size: 80, margin: 16, align: upright, max_rejected: 0.4}
embedder: {weights: scratch, embedding_size: 32}
train: {unfreeze: all, epochs: 0, batch_size: 16, embedding_regularization: 0.0, scale: 16.0}
evaluation: {far: 0.05, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0, stress: {conditions: {}}}
gallery: {action: report}
"""
