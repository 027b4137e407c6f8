"""Files of other software: checkpoints read, tensors recognised, hidden constants found."""
