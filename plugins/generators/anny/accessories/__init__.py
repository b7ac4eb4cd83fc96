"""What people wear and hold: hats, masks, scarves, hands, things before the face, jewellery; and picture borders."""
