"""Serving: model server, client, profiles, releases, batch recommendations, deploy files."""
