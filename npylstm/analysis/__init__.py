"""Tools that look into gradients: whether they are right, and how they fare on the way back."""
