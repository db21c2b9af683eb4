"""From trained parts to the manifold file: template, patches, header."""
