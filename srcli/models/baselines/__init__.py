"""Networks that the papers compare with, as they were published."""
