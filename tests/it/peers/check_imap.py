"""Talks to an IMAP server as an independent client, and says what it read.

    check_imap.py HOST PORT USER PASSWORD

Selects INBOX with mod-sequences, marks, copies and moves messages, renames a folder; prints one JSON object with what
the server answered. Python's standard library only.
"""

import imaplib
import json
import sys


def main(host, port, user, password):
    said = {}
    client = imaplib.IMAP4(host, int(port), timeout=60)
    client.login(user, password)

    def done(answer):
        status, data = answer
        if status != "OK":
            raise SystemExit(f"{status}: {data}")
        return [line.decode() if isinstance(line, bytes) else [part.decode() for part in line] for line in data if line]

    def untagged(name):
        return [line.decode() for line in client.response(name)[1] if line]

    said["capabilities"] = list(client.capabilities)
    done(client.enable("QRESYNC"))
    said["enabled"] = untagged("ENABLED")
    said["exists"] = done(client.select("INBOX"))
    highest = int(untagged("HIGHESTMODSEQ")[0])
    said["stored"] = done(client.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
    said["changed"] = done(client.uid("FETCH", "1:*", "(UID FLAGS)", f"(CHANGEDSINCE {highest} VANISHED)"))
    done(client.uid("COPY", "2", "Sent"))
    said["copied"] = untagged("COPYUID")
    done(client.uid("MOVE", "3", "Sent"))
    said["moved"] = untagged("COPYUID")
    said["vanished"] = untagged("VANISHED")
    done(client.uid("FETCH", "1:*", "(UID)", f"(CHANGEDSINCE {highest} VANISHED)"))
    said["vanished_earlier"] = untagged("VANISHED")
    said["status"] = done(client.status("INBOX", "(MESSAGES HIGHESTMODSEQ)"))
    done(client.rename("Sent", "Away"))
    said["folders"] = done(client.list())
    said["message"] = done(client.uid("FETCH", "1", "(BODY.PEEK[])"))[0]
    client.logout()
    json.dump(said, sys.stdout)


main(*sys.argv[1:])
