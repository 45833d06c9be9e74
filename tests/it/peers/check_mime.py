"""Reads mail messages as an independent judge of what this product composes.

    check_mime.py FILE...

One file is one raw message with CRLF line ends. Prints one JSON array, an object per file in the order given:
message_id, subject, from, to, cc, reply_to, date, text, html, attachments ([{name, type, size}]), headers ([[name,
value]]), defects ([sentence]). Exit code 1 if any message has a defect. Python's standard library only.
"""

import base64
import email
import email.policy
import json
import quopri
import re
import sys

# Fields that RFC 5322 section 3.6 allows once.
ONCE = {
    "date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "list-unsubscribe",
    "list-unsubscribe-post",
}
NEEDED = ("date", "from", "message-id")
MESSAGE_ID = re.compile(r"<[^\s<>@]+@[^\s<>@]+>")
ENCODED_WORD = re.compile(rb"=\?([^?\s]+)\?([bqBQ])\?([^?\s]*)\?=")
# With raise_on_defect the parser would stop at the first defect and not say where.
POLICY = email.policy.SMTP


def wire_defects(raw):
    """What the bytes themselves must keep, whatever they mean."""
    if re.search(rb"\r(?!\n)", raw):
        yield "a bare CR"
    if re.search(rb"(?<!\r)\n", raw):
        yield "a bare LF"
    if b"\0" in raw:
        yield "a NUL"
    if not raw.endswith(b"\r\n"):
        yield "the last line has no end"
    head, separator, _ = raw.partition(b"\r\n\r\n")
    if not separator:
        yield "no empty line ends the header"
    for number, line in enumerate(raw.split(b"\r\n"), 1):
        if len(line) > 998:
            yield f"line {number} has {len(line)} bytes, 998 is the limit"
    for line in head.split(b"\r\n"):
        if any(byte > 126 or (byte < 32 and byte != 9) for byte in line):
            yield f"not printable ASCII in the header: {line!r}"
        if line[:1] in b" \t" and not line.strip():
            yield "a folded header line of white space only"
    # Each encoded word stands for itself (RFC 2047 sections 2 and 5): known, whole and short.
    for word in ENCODED_WORD.finditer(head):
        charset, encoding, text = word.groups()
        try:
            if encoding in b"bB":
                decoded = base64.b64decode(text, validate=True)
            else:
                decoded = quopri.decodestring(text, header=True)
            decoded.decode(charset.decode(), "strict")
        except (LookupError, ValueError) as error:
            yield f"an encoded word does not decode: {word[0]!r}: {error}"
        if len(word[0]) > 75:
            yield f"an encoded word of more than 75 characters: {word[0]!r}"


def header_defects(message):
    names = [name.lower() for name in message.keys()]
    for name in sorted(set(names) & ONCE):
        if names.count(name) > 1:
            yield f"{name} appears {names.count(name)} times"
    for name in NEEDED:
        if name not in names:
            yield f"no {name}"
    for name in ("message-id", "in-reply-to", "references"):
        for value in message.get_all(name, []):
            if not all(MESSAGE_ID.fullmatch(word) for word in str(value).split()):
                yield f"{name} is not made of message ids: {value}"
    for value in message.get_all("message-id", []):
        if len(str(value).split()) != 1:
            yield f"message-id is not one id: {value}"
    for address in [a for name in ("from", "to", "cc", "reply-to") for h in message.get_all(name, []) for a in h.addresses]:
        if not address.username or not address.domain:
            yield f"not an address: {address}"


def part_defects(message):
    for number, part in enumerate(message.walk()):
        where = f"part {number} ({part.get_content_type()})"
        for defect in part.defects:
            yield f"{where}: {type(defect).__name__}: {defect}"
        for name, value in part.items():
            for defect in getattr(value, "defects", ()):
                yield f"{where}: {name}: {type(defect).__name__}: {defect}"
        if part.is_multipart():
            continue
        try:
            payload = part.get_payload(decode=True)
            if part.get_content_maintype() == "text":
                payload.decode(part.get_content_charset("us-ascii"), "strict")
        except (LookupError, UnicodeDecodeError, ValueError) as error:
            yield f"{where}: {error}"
        # Decoding may find more.
        for defect in part.defects:
            yield f"{where}: {type(defect).__name__}: {defect}"
        encoding = str(part.get("content-transfer-encoding", "7bit")).strip().lower()
        body = part.get_payload()
        if encoding == "7bit" and any(ord(character) > 127 for character in body):
            yield f"{where}: says 7bit and is not"
        if encoding == "quoted-printable" and any(len(line) > 76 for line in body.splitlines()):
            yield f"{where}: a quoted-printable line of more than 76 characters"


def content(message, kind):
    part = message.get_body((kind,))
    if part is None or part.get_content_subtype() != {"plain": "plain", "html": "html"}[kind]:
        return None
    try:
        return part.get_content()
    except (LookupError, UnicodeDecodeError, ValueError):
        return None


def one(raw):
    message = email.message_from_bytes(raw, policy=POLICY)

    def value(name):
        return None if message[name] is None else str(message[name])

    def addresses(name):
        fields = message.get_all(name, [])
        return [{"name": a.display_name, "address": a.addr_spec} for field in fields for a in field.addresses]

    defects = [*wire_defects(raw), *header_defects(message), *part_defects(message)]
    attachments = []
    for part in message.walk():
        if part.get_content_disposition() == "attachment":
            payload = part.get_payload(decode=True) or b""
            attachments.append({"name": part.get_filename(), "type": part.get_content_type(), "size": len(payload)})
    return {
        "message_id": value("message-id"),
        "subject": value("subject"),
        "date": value("date"),
        "from": addresses("from"),
        "to": addresses("to"),
        "cc": addresses("cc"),
        "reply_to": addresses("reply-to"),
        "text": content(message, "plain"),
        "html": content(message, "html"),
        "attachments": attachments,
        "headers": [[name, str(field)] for name, field in message.items()],
        "defects": list(dict.fromkeys(defects)),
    }


def main(paths):
    if not paths:
        sys.exit(__doc__)
    results = []
    for path in paths:
        with open(path, "rb") as file:
            raw = file.read()
        try:
            results.append(one(raw))
        except Exception as error:  # A message that breaks the parser is as bad as one with a defect.
            results.append({"defects": [f"the parser gave up: {type(error).__name__}: {error}"]})
    # Bytes that the message's own charset did not explain come as lone surrogates, which are no JSON.
    text = json.dumps(results, ensure_ascii=False)
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    return 1 if any(result["defects"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
