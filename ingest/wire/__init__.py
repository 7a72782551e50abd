"""Wire formats: pure decoders from bytes to what a message held."""
