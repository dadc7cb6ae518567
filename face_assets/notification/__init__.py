"""Notification of people by webhook, Slack or e-mail: once when a cause fires, and once when it is resolved."""
