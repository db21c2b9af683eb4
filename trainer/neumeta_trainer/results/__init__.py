"""What a run is worth: quality, the curve, the report and the card."""
