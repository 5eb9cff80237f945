"""The coordinator's network: certificates, proxy, SuperLink, sites and submissions."""
