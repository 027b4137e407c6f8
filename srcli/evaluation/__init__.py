"""What several commands measure by: sets of pictures, pairs, candidates, scores, statistics."""
