import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def _one_thread_of_blas():
    """Small products gain nothing from more, and lose much where other programs are busy."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def torch_reference():
    """PyTorch's layers with our weights; the test is skipped where there is no PyTorch."""
    pytest.importorskip("torch")
    import torch_reference

    return torch_reference
