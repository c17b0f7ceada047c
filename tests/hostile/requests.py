"""Hostile requests around harmless contents: names, forms, headers, framing, JSON, texts."""

import json
from collections.abc import Iterator

from tests.recordings import silence

from .request import BOUNDARY, TRANSCRIBE, Attack, form, request, speak, upload

FILE = b'Content-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'


def attacks() -> Iterator[Attack]:
    """All of them."""
    quiet = silence(0.2)
    for family, found in {
        "name": names(quiet),
        "form": forms(quiet),
        "header": headers(),
        "framing": framings(),
        "json": bodies(),
        "text": texts(),
    }.items():
        for name, sent in found.items():
            yield Attack(family, name, sent)


def names(quiet: bytes) -> dict[str, bytes]:
    """Names that become paths, headers or markup where somebody trusts them."""
    tricks = {
        "up": b"../../../../etc/passwd",
        "up, escaped": b"..%2f..%2fetc%2fpasswd",
        "up, doubly escaped": b"..%252f..%252fetc",
        "up, the Windows way": b"..\\..\\windows\\win.ini",
        "absolute": b"/proc/self/environ",
        "device": b"CON.wav",
        "NUL": b"a.wav\0.php",
        "overlong UTF-8": b"\xc0\xae\xc0\xae\xc0\xafetc",
        "lone surrogate": b"\xed\xa0\x80.wav",
        "not UTF-8": b"\xff\xfe\xfd",
        "right to left": "a\u202egpj.wav".encode(),
        "zero width": "\u200b\u200d\ufeff".encode(),
        "CR": b"a\rX-Injected: 1",
        "percent CRLF": b"a%0d%0aX-Injected: 1",
        "quote": b'a\\"; name=\\"b',
        "markup": b"<img src=x onerror=alert(1)>.wav",
        "shell": b"$(touch /tmp/injected);`id`|x.wav",
        "dots": b"." * 200,
        "long": b"a" * 60_000,
        "empty": b"",
        "format": b"%s%s%s%n{0.__class__}{{7*7}}${7*7}",
    }
    found = {f"file name: {name}": upload(quiet, trick) for name, trick in tricks.items()}
    found |= {f"field name: {name}": upload(quiet, field=trick) for name, trick in tricks.items()}
    return found


def forms(quiet: bytes) -> dict[str, bytes]:
    """Forms that are too much, or not quite forms."""

    def field(name: bytes, text: bytes = b"1") -> bytes:
        return b'Content-Disposition: form-data; name="' + name + b'"\r\n\r\n' + text

    whole = FILE + quiet
    other = form(field(b"audio", form(whole, boundary=b"inner")), whole)
    as_form = b"Content-Type: multipart/form-data; boundary="
    return {
        "10,000 fields": form(*(field(b"f%d" % number) for number in range(10_000)), whole),
        "10,000 times one field": form(*(field(b"language", b"en") for _ in range(10_000)), whole),
        "10,000 files": form(*(whole for _ in range(1_000))),
        "a field of 5 MB": form(field(b"prompt", b"a" * (5 << 20)), whole),
        "a name of 5 MB": form(field(b"n" * (5 << 20)), whole),
        "headers of 5 MB": form(b"X: " + b"y" * (5 << 20) + b"\r\n" + whole),
        "10,000 headers": form(b"X: y\r\n" * 10_000 + whole),
        "no end": form(whole, closed=False),
        "nothing": form(),
        "no boundary": request("POST", TRANSCRIBE, b"x", "Content-Type: multipart/form-data"),
        "empty boundary": request("POST", TRANSCRIBE, b"x", "Content-Type: multipart/form-data; boundary="),
        "another boundary": request("POST", TRANSCRIBE, form(whole), as_form + b"other"),
        "boundary of 4,000 letters": form(whole, boundary=b"b" * 4_000),
        "boundary of dashes": form(whole, boundary=b"-" * 60),
        "boundary of signs": form(whole, boundary=b"(.*)+$[\\"),
        "boundaries within": form(FILE + (b"\r\n--" + BOUNDARY[:-1]) * 50_000),
        "line ends within": form(FILE + b"\r\n" * 500_000),
        "line feeds only": form(whole).replace(b"\r\n", b"\n").replace(b"\n\n", b"\r\n\r\n", 1),
        "a form within": other,
        "no headers": form(b"\r\n" + quiet),
        "no disposition": form(b"Content-Type: audio/wav\r\n\r\n" + quiet),
        "no name": form(b"Content-Disposition: form-data\r\n\r\n" + quiet),
        "name twice": form(b'Content-Disposition: form-data; name="x"; name="audio"; filename="a"\r\n\r\n' + quiet),
        "encoded name": form(b"Content-Disposition: form-data; name=audio; filename*=utf-8''%00%ff\r\n\r\n" + quiet),
        "strange charset": form(
            b'Content-Disposition: form-data; name="prompt"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+ADw-',
            whole,
        ),
        "base64 of it": form(b"Content-Transfer-Encoding: base64\r\n" + FILE + b"UklGRg=="),
        "two files": form(whole, FILE + b"other"),
        "text before and after": form(whole).replace(b"--" + BOUNDARY, b"preamble\r\n--" + BOUNDARY, 1) + b"after",
        "fields that are none": form(whole, field(b"format", b"exe"), field(b"beam_size", b"1e400")),
        "no number": form(whole, field(b"temperature", b"nan")),
        "a number of 5,000 digits": form(whole, field(b"beam_size", b"9" * 5_000)),
        "hotwords of 100 kB": form(whole, field(b"hotwords", b"word " * 20_000)),
        "prompt of control tokens": form(whole, field(b"prompt", b"<|endoftext|><|startoftranscript|>" * 500)),
        "urlencoded": request(
            "POST", TRANSCRIBE, b"audio=x&" * 10_000, "Content-Type: application/x-www-form-urlencoded"
        ),
        "urlencoded, 150,000 names": request(
            "POST", TRANSCRIBE, b"".join(b"%x=&" % number for number in range(150_000)),
            "Content-Type: application/x-www-form-urlencoded",
        ),
        "mixed": request("POST", TRANSCRIBE, b"x", "Content-Type: multipart/mixed; boundary=a"),
    }  # fmt: skip


def headers() -> dict[str, bytes]:
    """Headers and addresses."""

    def get(*given: str | bytes, path: str = "/health", method: str = "GET") -> bytes:
        return request(method, path, b"", *given, length=False)

    said = json.dumps({"text": "Hello.", "format": "wav"}).encode()
    found = {
        "id with CR": get(b"X-Request-ID: a\rSet-Cookie: b=c"),
        "id with LF": get(b"X-Request-ID: a\nSet-Cookie: b=c"),
        "id folded": get(b"X-Request-ID: a\r\n Set-Cookie: b=c"),
        "id of 8,000 letters": get("X-Request-ID: " + "a" * 8_000),
        "id with NUL": get(b"X-Request-ID: a\0b"),
        "id as markup": get("X-Request-ID: <script>alert(1)</script>"),
        "one header of 100 kB": get("X: " + "y" * 100_000),
        "1,000 headers": get(*(f"X{number}: y" for number in range(1_000))),
        "header without a name": get(": x"),
        "header without a colon": get("nothing"),
        "name with a blank": get("X : y"),
        "name not ASCII": get("X-\u00e9: y".encode()),
        "underscores": get("X_Forwarded_For: 1.1.1.1", "Content_Length: 5"),
        "10 hosts": get(*(f"Host: h{number}" for number in range(10))),
        "host with a path": request("GET", "/", b"", "Host: a/../../b"),
        "forwarded forever": get("X-Forwarded-For: " + ", ".join(["1.2.3.4"] * 500)),
        "forwarded nonsense": get("X-Forwarded-For: \u00ff;<>,,'", "X-Forwarded-Proto: javascript"),
        "key not ASCII": get("Authorization: Bearer \u00e9\u00ff"),
        "basic nonsense": get("Authorization: Basic ////", "X-API-Key: '"),
        "strange accept": get("Accept: text/html;q=nan,*/*;q=1e999,a/b;q=-1," + "x/y;q=0.1," * 300),
        "strange encodings": get("Accept-Encoding: " + "gzip;q=0.0001," * 300),
        "expect": get("Expect: 200-maybe"),
        "upgrade": get("Connection: Upgrade", "Upgrade: websocket"),
        "h2c": get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAA"),
        "cookie": get("Cookie: " + "a=b; " * 1_000),
        "query of 8,000 letters": get(path="/health?" + "a" * 8_000),
        "address of 20 kB": get(path="/" + "a" * 20_000),
        "1,000 parameters": get(
            path="/api/v1/pam/voice/voices?" + "&".join("language=en" for _ in range(500))
        ),
        "query with CRLF": get(path="/health?a=%0d%0aSet-Cookie:%20b=c"),
        "query not UTF-8": get(path="/api/v1/pam/voice/voices?language=%ff%fe%00"),
        "query of raw bytes": get(path="/api/monitoring/performance?window=\udc93\udcff"),
        "address of raw bytes": get(path="/v1/models/\udcff"),
        "up": get(path="/../../../../etc/passwd"),
        "up, escaped": get(path="/%2e%2e/%2e%2e/etc/passwd"),
        "up from static files": get(path="/static/..%2f..%2fconfig.py"),
        "a NUL": get(path="/%00"),
        "another server": get(path="http://example.com/health"),
        "asterisk": get(path="*", method="OPTIONS"),
        "model up": get(path="/v1/models/../../etc/passwd"),
        "model not UTF-8": get(path="/v1/models/%ff%fe"),
        "job of nobody": get(path="/api/v1/pam/voice/jobs/..%2f..%2f"),
        "hours of history": get(path="/api/memory/history?seconds=1e308&limit=-1&n=nan"),
        "a window that is none": get(path="/api/monitoring/performance?window=-99999999999999999999d"),
    }
    for name, header in {
        "etag of nobody": "If-None-Match: " + ", ".join(f'"{number}"' for number in range(400)),
        "etag nonsense": 'If-None-Match: W/"\\, ",,*',
        "range": "Range: bytes=999999999999999999999-,-1,5-3",
        "ranges": "Range: bytes=" + ",".join(f"{number}-{number}" for number in range(1_000)),
        "since never": "If-Modified-Since: 99999999999999999999999999",
        "key twice": "Idempotency-Key: " + "k" * 7_000,
    }.items():
        found[name] = request(
            "POST", "/api/v1/pam/voice/speak", said, "Content-Type: application/json", header
        )
    for method in (
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "PUT",
        "DELETE",
        "PATCH",
        "GET\x00",
        "get",
        "A" * 300,
        "\u00e9",
    ):
        found[f"method {method[:12]!r}"] = get(method=method)
    return found


def framings() -> dict[str, bytes]:
    """Where a request ends: what two servers in a row could read differently."""
    hidden = b"GET /api/memory HTTP/1.1\r\nHost: x\r\n\r\n"
    text = "Content-Type: application/json"

    def post(*given: str | bytes, body: bytes = b"") -> bytes:
        return request("POST", "/api/v1/pam/voice/speak", body, text, *given, length=False)

    chunked = "Transfer-Encoding: chunked"
    return {
        "both lengths": post("Content-Length: 6", chunked, body=b"0\r\n\r\nG" + hidden),
        "both, the other way": post(chunked, "Content-Length: 4", body=b"5c\r\n" + hidden + b"\r\n0\r\n\r\n"),
        "length twice": post("Content-Length: 2", "Content-Length: 200", body=b"{}" + hidden),
        "length list": post("Content-Length: 2, 2", body=b"{}"),
        "length negative": post("Content-Length: -1", body=b"{}"),
        "length signed": post("Content-Length: +2", body=b"{}"),
        "length in hex": post("Content-Length: 0x2", body=b"{}"),
        "length huge": post("Content-Length: " + "9" * 400, body=b"{}"),
        "length with an underscore": post("Content-Length: 1_0", body=b"{}" + bytes(8)),
        "length too short": post("Content-Length: 1", body=b'{"text": "a"}'),
        "chunked in disguise": post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
        "chunked twice": post(chunked, "Transfer-Encoding: identity", body=b"0\r\n\r\n"),
        "chunked, not last": post("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
        "chunked, tabbed": post("Transfer-Encoding:\tchunked\x0b", body=b"0\r\n\r\n"),
        "chunked and odd": post(b"Transfer-Encoding: \xffchunked", body=b"0\r\n\r\n"),
        "chunk size not hex": post(chunked, body=b"xyz\r\n{}\r\n0\r\n\r\n"),
        "chunk size negative": post(chunked, body=b"-2\r\n{}\r\n0\r\n\r\n"),
        "chunk size huge": post(chunked, body=b"f" * 400 + b"\r\n{}\r\n0\r\n\r\n"),
        "chunk size endless": post(chunked, body=b"0" * 100_000),
        "chunk extension": post(chunked, body=b"2;" + b"a=b" * 10_000 + b"\r\n{}\r\n0\r\n\r\n"),
        "chunk without its end": post(chunked, body=b"2\r\n{}X0\r\n\r\n"),
        "chunk with a line feed": post(chunked, body=b"2\n{}\n0\n\n"),
        "trailers": post(chunked, body=b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"),
        "a million chunks": post(chunked, body=b"1\r\n \r\n" * 200_000 + b"0\r\n\r\n"),
        "no version": b"GET /health\r\n\r\n",
        "version 9": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
        "version 1.0": b"GET /health HTTP/1.0\r\n\r\n",
        "no host": b"GET /health HTTP/1.1\r\n\r\n",
        "two blanks": b"GET  /health  HTTP/1.1\r\nHost: x\r\n\r\n",
        "line feeds": b"GET /health HTTP/1.1\nHost: x\n\n",
        "empty lines first": b"\r\n" * 50 + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "noise": bytes(range(256)) * 20 + b"\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40),
        "PROXY": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "50 at once": b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        "nothing but blanks": b" " * 20_000,
        "one byte": b"G",
    }


def bodies() -> dict[str, bytes]:
    """JSON that is deep, large, or not quite JSON."""
    text = b'{"text": "Hello.", '
    found = {
        "lists in lists": b"[" * 100_000,
        "objects in objects": b'{"a":' * 100_000,
        "deep within a field": b'{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "a number of a million digits": text + b'"speed": ' + b"9" * 900_000 + b"}",
        "a number past numbers": text + b'"speed": 1e99999}',
        "NaN": text + b'"speed": NaN}',
        "Infinity": text + b'"pitch": -Infinity}',
        "keys twice": b'{"text": "a", "text": ["b"], "text": {"c": 1}}',
        "100,000 keys": b"{" + b",".join(b'"k%d":1' % number for number in range(60_000)) + b"}",
        "150,000 numbers": b'{"text": [' + b",".join(b"%d" % number for number in range(150_000)) + b"]}",
        "300,000 lists": b'{"text": [' + b",".join([b"[]"] * 300_000) + b"]}",
        "100,000 texts": b'{"text": [' + b",".join(b'"%x"' % number for number in range(100_000)) + b"]}",
        "50,000 keys in UTF-16": ("{" + ",".join(f'"{number}":1' for number in range(50_000)) + "}").encode(
            "utf-16"
        ),
        "text is a list": b'{"text": ["a"]}',
        "text is a number": b'{"text": 1e5}',
        "text is null": b'{"text": null}',
        "format is an object": text + b'"format": {"$gt": ""}}',
        "voice is a path": text + b'"voice": "../../../etc/passwd"}',
        "voice is 9,000 letters": text + b'"voice": "' + b"v" * 9_000 + b'"}',
        "language is a path": text + b'"language": "../../etc/passwd"}',
        "language is NUL": text + b'"language": "\\u0000"}',
        "engine is a module": text + b'"engine": "__import__"}',
        "lone surrogates": b'{"text": "\\ud800\\udfff \\udc00"}',
        "surrogate in a voice": text + b'"voice": "\\ud800"}',
        "surrogate in a language": text + b'"language": "\\ud800"}',
        "surrogate in a format": text + b'"format": "\\ud800"}',
        "not UTF-8": b'{"text": "\xff\xfe"}',
        "UTF-16": '{"text": "Hello."}'.encode("utf-16"),
        "UTF-7": b"+AHsAIg-text+ACI:",
        "a byte order mark": b"\xef\xbb\xbf" + text + b'"format": "wav"}',
        "empty": b"",
        "a string": b'"text"',
        "cut off": b'{"text": "Hel',
        "comment": b'{"text": "a" /* b */}',
        "prototype": text + b'"__proto__": {"x": 1}, "constructor": {}, "__class__": "x"}',
        "2 MB": b'{"text": "' + b"a" * (2 << 20) + b'"}',
        "speed is true": text + b'"speed": true}',
        "speed is 0": text + b'"speed": 0}',
    }
    return {name: speak(body) for name, body in found.items()}


def texts() -> dict[str, bytes]:
    """Texts that are hard to say."""
    said = {
        "marks upon marks": "e" + "\u0301\u0316\u0489" * 1_300,
        "4,096 emoji": "\U0001f600" * 4_096,
        "families": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 800,
        "right to left": "\u202e\u2066\u2067\u202d" * 1_000 + "abc",
        "nothing visible": "\u200b\u200c\u2060\ufeff\u00ad" * 800,
        "controls": "".join(map(chr, range(1, 32))) * 100 + "abc",
        "NUL": "a\0b\0c",
        "private": "\ue000\uf8ff\U0010ffff" * 1_000,
        "one word": "a" * 4_096,
        "one number": "9" * 1_024,
        "a number with dots": "1." * 500,
        "signs": "!?.,;:-'\"()" * 370,
        "dashes": "-" * 4_096,
        "line ends": "a\n" * 2_048,
        "SSML in SSML": "<speak>" * 580,
        "SSML that breaks": "<speak><break time='99999999s'/>" * 100,
        "SSML that repeats": "<prosody rate='0.0001%'>" * 150 + "a",
        "SSML that plays": "<audio src='file:///etc/passwd'/>" * 100 + "a",
        "an entity": "<!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><s>&x;</s>",
        "espeak's phonemes": "[[" * 2_000,
        "espeak's commands": "\x01\x01+9999999999S\x0199V" * 50 + "a",
        "markdown": "[a](b" * 800,
        "markdown tables": "|a" * 2_000,
        "stars": "*" * 4_096,
        "backticks": "`" * 4_095 + "a",
        "brackets": "((((" * 1_000,
        "links": "http://" * 580,
        "entities": "&amp;" * 800,
        "mixed scripts": "a\u4e00\u0627\u05d0\u0e01\u0915\uac00" * 150,
        "past the limit": "a " * 50_000,
        "slow": "one hundred million, " * 190,
    }
    fields = {"slow": {"speed": 0.25, "pitch": 2}}
    return {
        name: speak(json.dumps({"text": text, "format": "wav", **fields.get(name, {})}).encode())
        for name, text in said.items()
    }
