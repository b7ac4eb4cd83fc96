"""From geometry to light: kernels that draw, dress, cast shadows, light and shade."""
