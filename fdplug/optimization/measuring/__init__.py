"""What candidates cost and how good their images are."""
