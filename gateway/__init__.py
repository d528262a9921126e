"""The gateway: composes the services for desktop clients and owns nothing."""
