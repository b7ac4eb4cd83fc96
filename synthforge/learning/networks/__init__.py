"""Feature encoders, heads and label fine-tuning networks."""
