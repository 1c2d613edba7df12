"""Cells: one time step of a recurrent network, forward and backward."""
