"""Everything embedded: a simulated Helsingborg, from broker to work order."""
