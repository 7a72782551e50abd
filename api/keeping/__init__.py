"""What an operator does with what is kept: copies, moves, exports, a check of every part."""
