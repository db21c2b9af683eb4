"""What this device can run: networks are measured here, and the largest that stays within the limits is found."""
