"""The MQTT broker a developer's machine, a demonstration or a test runs on."""
