"""Reads events with the generated Python models, and prints what the models contain.

Standard input has one line for each event: the name of its class and its JSON. The generated code has to be
importable.
"""

import importlib
import json
import re
import sys

for line in sys.stdin:
    name, _, text = line.partition(" ")
    module = importlib.import_module("asyncapimodels." + re.sub("(?<!^)([A-Z])", r"_\1", name).lower())
    event = getattr(module, name).model_validate_json(text)
    sys.stdout.write(json.dumps(event.model_dump(mode="json", by_alias=True)) + "\n")
