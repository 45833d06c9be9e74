"""Checks the DKIM signatures of messages with dkimpy, an implementation that is not ours.

usage: check_dkim.py RECORDS.json MESSAGE...

RECORDS.json maps names of DNS records to their texts; nothing is looked up. Prints a JSON list with one entry per
message: a list with the domain, the selector, the algorithm and the verdict of each signature, in order.
"""

import json
import sys

import dkim


def main() -> int:
    with open(sys.argv[1], encoding="ascii") as file:
        records = json.load(file)

    def lookup(name, timeout=5):
        if isinstance(name, bytes):
            name = name.decode("ascii")
        text = records.get(name.rstrip("."))
        return text.encode("ascii") if text is not None else None

    found = []
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            message = file.read()
        verifier = dkim.DKIM(message)
        names = [name.lower() for name, _ in verifier.headers]
        signatures = []
        for index in range(names.count(b"dkim-signature")):
            verifier = dkim.DKIM(message)
            try:
                good = verifier.verify(idx=index, dnsfunc=lookup)
            except dkim.DKIMException as error:
                good = False
                print(f"{path}: {error}", file=sys.stderr)
            tags = {key.decode(): value.decode() for key, value in (verifier.signature_fields or {}).items()}
            signatures.append([tags.get("d"), tags.get("s"), tags.get("a"), bool(good)])
        found.append(signatures)
    json.dump(found, sys.stdout)
    return 0


sys.exit(main())
