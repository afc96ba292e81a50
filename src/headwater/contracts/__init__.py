"""What a product promises: the values of `product.yaml` and `mesh.yaml`, and how they are read."""
