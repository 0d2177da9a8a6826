"""What guides are built of; nothing here is a component."""
