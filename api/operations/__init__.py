"""Pure state machines: incidents, work orders, SLA, ranking, alerts."""
