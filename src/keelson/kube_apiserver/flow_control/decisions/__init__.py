"""The pure half of priority and fairness: matching, limits, queues. Clocks come in as arguments."""
