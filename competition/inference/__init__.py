"""Networks' answers: predicted once, kept as quantised logits, read by every later decision."""
