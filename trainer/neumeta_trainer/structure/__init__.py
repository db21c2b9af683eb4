"""What the trainer knows about a network: channel groups, slices, channel orders, fusion."""
