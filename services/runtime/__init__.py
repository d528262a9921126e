"""How any process runs: servers, channels, admission, settings, logs. Knows gRPC, knows no context."""
