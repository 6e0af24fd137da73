"""Many light terminals on one machine: MQTT 5 by one loop, messages of the contract (docs/bank-messages.md)."""
