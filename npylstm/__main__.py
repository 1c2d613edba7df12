"""`python -m npylstm` is the command `npylstm`."""

import sys

from npylstm.cli import main

sys.exit(main())
