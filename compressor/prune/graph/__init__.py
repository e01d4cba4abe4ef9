"""Which channels of a network leave it together: followed from operator to operator through one call."""
