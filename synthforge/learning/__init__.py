"""Networks, augmentation, training, label fine-tuning and subset sampling."""
