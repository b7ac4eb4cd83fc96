"""Feature encoders, output heads and label fine-tuning networks."""
