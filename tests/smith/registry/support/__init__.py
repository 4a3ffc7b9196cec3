"""What the registry's tests share: images, registries, certificates, a token server."""
