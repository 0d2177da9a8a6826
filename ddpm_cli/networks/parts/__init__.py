"""What networks are built of; nothing here is a component."""
