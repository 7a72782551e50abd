"""What stands in the street: from inventories as cities have them to arrays detectors know."""
