"""Training of LoFTR from photographs and rendered planes. Nothing else depends on this room."""
