"""The landing zone: the event format, deliveries, importers of public data sets, the simulator."""
