"""`relact` commands one after the other in the processes that torchrun has started; a loss like NaN is told."""

import json
import sys

from relact.cli import app

for words in json.loads(sys.argv[1]):
    try:
        app(words, standalone_mode=False)
    except FloatingPointError as error:
        print(f"stopped: {error}")
