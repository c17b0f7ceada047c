"""What the service did with memory and time, what failed, and who was refused."""
