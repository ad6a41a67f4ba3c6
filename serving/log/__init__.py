"""The log of all gateways, in Kafka: events and pages in the order of each user, from outboxes to spans."""
