import pytest


@pytest.fixture
def torch_reference():
    """PyTorch's layers with our weights; the test is skipped where there is no PyTorch."""
    pytest.importorskip("torch")
    import torch_reference

    return torch_reference
