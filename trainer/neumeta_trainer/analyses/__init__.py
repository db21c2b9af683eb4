"""What the paper looks at beside accuracy: how smooth weights are along channels, how alike networks of different width are."""
