"""What is worn or held, as geometry: hats, masks, scarves, hands, jewellery."""
