"""Telling people: what went wrong and when it is well again, once for each cause, by webhook, Slack or e-mail."""
