"""What is made once and installed on every host: the machine image, the container images and the release bundle."""
