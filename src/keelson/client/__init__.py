"""The API's client: requests, watches, informers, queues, elections, events. Nothing else speaks to the API."""
