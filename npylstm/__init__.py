"""LSTM and RNN cells in plain NumPy, with back-propagation through time written out by hand."""

__version__ = "0.1.0"
