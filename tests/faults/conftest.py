from tests.integration.conftest import plant

__all__ = ["plant"]
