"""Evaluation: sets of pictures, HR/LR pairs, chains, candidates, scores and paired statistics."""
