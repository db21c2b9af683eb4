"""What makes a manifest worth taking: signatures, certificates, and the versions that were seen before."""
