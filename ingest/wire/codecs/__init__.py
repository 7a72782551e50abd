"""LoRaWAN payload codecs, one device family a file."""
