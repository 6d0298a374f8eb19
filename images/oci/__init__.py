"""Container images that every host is given before it runs a pod, as no registry need be in reach.

One folder for each image with its `image.yaml`; the assembler needs no container engine.
"""
