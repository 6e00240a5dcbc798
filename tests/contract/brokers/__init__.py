"""What every broker must do for us, and what the embedded one cannot."""
