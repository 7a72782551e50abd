"""Arrays in, findings out: numpy and scipy.special, no input or output, no clock."""
