"""What the kubelet does, as functions of what it knows: pure, so that a test is a table and never waits."""
