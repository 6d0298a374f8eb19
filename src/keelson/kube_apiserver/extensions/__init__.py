"""CustomResourceDefinitions: what makes resources out of objects, in every instance of the server alike."""
