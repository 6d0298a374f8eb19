"""Dynamic admission: webhooks that MutatingWebhookConfigurations and ValidatingWebhookConfigurations name."""
