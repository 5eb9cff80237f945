"""What a site computes with: device, precision, attention, memory."""
