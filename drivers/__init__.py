"""Drivers: from bytes on a wire to verbs of a device. Nothing in here knows of a terminal, a customer or a bank."""
