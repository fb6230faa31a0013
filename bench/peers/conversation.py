"""A peer's side of conversation.ts: a line of JSON in, a line of JSON out."""

import json
import sys


def converse(version, answer_to):
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        try:
            answer = answer_to(json.loads(line)) or {}
        except Exception as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
