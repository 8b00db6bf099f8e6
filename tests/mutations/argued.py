"""Which mutants may live, and why."""

from __future__ import annotations

FIRST_ENTRY = ("local first = redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], '0-0')", "1 to 2")

A_BOUND = "a bound on the work of one call"

NO_MEMBER_FIRST = "a JSON object begins with a brace"

TWO_WAYS = "both ways count the same"

NO_MEMBER_IS_EMPTY = "a member is not empty"

PARSED = "a parser says the same, and takes longer"

LESS_THAN_A_SECOND = "a bucket is kept longer by less than a second"

MORE_PIECES = "the same text, put together from more pieces"

ARGUED: dict[str, dict[tuple[str, str], str]] = {
    "core/tokens/claims.py": {
        (
            'if not isinstance(iss, str) or not tenant.accepts_issuer(iss, claims.get("tid")):',
            "without not isinstance(iss, str)",
        ): "for the type checker: what is no text equals no issuer",
        (
            "and (value.isprintable() or _CONTROL.search(value) is None)",
            "without value.isprintable()",
        ): "a shorter way: the search says the same",
    },
    "core/trace_context.py": {
        (
            'if not (found["trace"].strip("0") and found["parent"].strip("0")):',
            "'0' to '0x'",
        ): "no hexadecimal number has an x",
    },
    "core/sign_in.py": {
        (
            'return isinstance(value, str) and (value.isascii() or value.encode(errors="ignore").decode() == value)',
            "without value.isascii()",
        ): "the long way says the same of ASCII",
    },
    "core/audit.py": {
        ("first: int = 0", "0 to 1"): "set with the first record, and without one nothing shows it",
        (
            "if known[place].items() <= record.items():",
            "known[place].items() <= record.items() to known[place].items() < record.items()",
        ): "a record has more members than a search names",
        ("return None", "without return None"): "the last character of a line is no record either",
        (
            'return record if is_record and type(record.get("lost", 0)) is int else None',
            "0 to 1",
        ): "only the type counts",
    },
    "core/signals/security_event.py": {
        ("e.signed, e.encrypted = e.compact, False", "False to True"): "of a SET nothing reads it",
        (
            "if ends is None or self.subject is None or not self.orders(transmitter):",
            "without ends is None",
        ): "for the type checker: `orders` says no to it, too",
    },
    "core/signals/set_claims.py": {
        (
            "in_ms = isinstance(value, int | float) and _EARLIEST * 1000 <= value <= MAX_NUMERIC_DATE * 1000",
            "1000 to 1001",
        ): "beyond the latest date neither seconds nor milliseconds are one",
        (
            "if not isinstance(iss, str) or not transmitter.issuer.accepts_issuer(iss):",
            "without not isinstance(iss, str)",
        ): "for the type checker: what is no text equals no issuer",
    },
    "core/eviction.py": {
        (
            'applies_to="client" if members.text(data.get("applies_to", "tenant")) == "client" else "tenant",',
            "'tenant' to 'tenantx'",
        ): "where none is there, any text but `client` says the same",
        ("KNOWN_IDS = 512", "512 to 513"): "more only cost memory",
    },
    "core/layouts/foreign_json.py": {
        ("while level and depth < MAX_DEPTH:", "without level"): "an empty level has none below it",
    },
    "core/layouts/session_values.py": {
        ("after = match.start() + 1", "1 to 2"): "behind a brace that begins a cache is a space or a quote",
    },
    "core/layouts/msal_cache.py": {
        ('return ""', "return '' to return None"): "neither is a problem",
    },
    "core/layouts/msgpack.py": {
        (
            "return self._text(kind & 0x1F) if kind < 0xC0 else kind - 0x100  # noqa: PLR2004",
            "kind < 192 to kind <= 192",
        ): "no such byte comes here",
        (
            "return self._text(kind & 0x1F) if kind < 0xC0 else kind - 0x100  # noqa: PLR2004",
            "192 to 193",
        ): "no such byte comes here",
    },
    "core/layouts/java.py": {
        ("_MAX_CLASSES = 64", "64 to 65"): "only a class that is its own ancestor comes there: depth is bounded before",
        (
            "if len(lineage) > _MAX_CLASSES:",
            "len(lineage) > _MAX_CLASSES to len(lineage) >= _MAX_CLASSES",
        ): "only a class that is its own ancestor comes there: depth is bounded before",
    },
    "core/layouts/msal.py": {
        (
            'return raw.keys() >= set(self.fields or ()) and raw["data"].startswith(DATA_PROTECTION)',
            "without ()",
        ): "for the type checker: this layout has fields",
    },
    "core/verdict.py": {
        (
            "or (bool(subjects) and sub_digest(sign_in) in subjects)",
            "without bool(subjects)",
        ): "among none no digest is found; without it one would be made for each sign-in",
    },
    "core/tokens/strict_json.py": {
        (
            'if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:',
            "text.count(b'{') + text.count(b'[') <= MAX_DEPTH to text.count(b'{') + text.count(b'[') < MAX_DEPTH",
        ): "the long way says the same of as many brackets",
    },
    "core/tokens/jws.py": {
        (
            "if len(segment) <= MAX_KNOWN_HEADER_CHARS:",
            "len(segment) <= MAX_KNOWN_HEADER_CHARS to len(segment) < MAX_KNOWN_HEADER_CHARS",
        ): "kept or read anew, a header is the same",
        ("KNOWN_HEADERS = 256", "256 to 257"): "more only cost memory",
        ("MAX_KNOWN_HEADER_CHARS = 1024", "1024 to 1025"): "more only cost memory",
    },
    "core/tokens/rule.py": {
        (
            "cls, compact: str, tenants: TenantDirectory, path_tenant: Tenant | None = None, *, now_s: float = 0.0",
            "0.0 to 1.0",
        ): "without a time only the rules of parsing are asked, which need none",
        (
            "super().__init__(attribute)",
            "without super().__init__(attribute)",
        ): "an exception keeps what it was made of without it, too",
    },
    "core/tokens/jwe.py": {
        ("if not one or not other or one == other:", "without one == other"): "the long way says the same of one text",
        (
            'for key in decryption_keys(tenant.decryption_key or "").keys:',
            "without ''",
        ): "for the type checker: only tenants with a key come here",
        (
            'return (opened.plaintext or b"").decode("ascii", "replace"), tenant',
            "without b''",
        ): "for the type checker: what was opened has a text",
    },
    "core/tokens/jwk.py": {
        (
            "if not MIN_RSA_EXPONENT <= key.public_numbers().e <= MAX_RSA_EXPONENT:",
            (
                "MIN_RSA_EXPONENT <= key.public_numbers().e <= MAX_RSA_EXP... to "
                "MIN_RSA_EXPONENT <= key.public_numbers().e < MAX_RSA_EXPO..."
            ),
        ): "an exponent is odd, the limit is even",
    },
    "core/tokens/endpoint_token.py": {
        (
            "if exp is None or exp > now_s + tenant.max_age_s + tenant.clock_skew_s:",
            "without exp is None",
        ): "for the type checker: `require_exp` is set a line above",
    },
    "bus/lua/acknowledge.lua": {
        ("local length = 0", "0 to 1"): "a list of one or none is not too long",
        (
            "if length > tonumber(ARGV[5]) then call('LTRIM', KEYS[1], -ARGV[5], -1) end",
            "> to >=",
        ): "a list of that length is trimmed to itself",
    },
    "bus/lua/claim.lua": {
        (
            "for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], first, '+', 100)) do",
            "100 to 101",
        ): A_BOUND,
        ("if noted and noted > now then", "> to >="): "now is noted as now",
        FIRST_ENTRY: "of two entries the first is looked at, too",
        (
            "for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], first, '+', 100)) do",
            "100 to 101",
        ): A_BOUND,
        (
            "if fields['pending'] == 0 and fields['idle'] > tonumber(ARGV[4]) then",
            "> to >=",
        ): "a millisecond of a day, on a clock that runs",
    },
    "bus/lua/cut.lua": {
        ("local at = 1", "1 to 2"): NO_MEMBER_FIRST,
        ("at = 1", "1 to 2"): NO_MEMBER_FIRST,
        ("if accounts <= 4 then", "<= to <"): TWO_WAYS,
        ("if accounts <= 4 then", "4 to 5"): TWO_WAYS,
        (
            "local colon = byte(value, begin - 1) == QUOTE and ends_before(value, begin - 1, 1) or 0",
            "1 to 2",
        ): NO_MEMBER_FIRST,
        (
            "local colon = byte(value, begin - 1) == QUOTE and ends_before(value, begin - 1, 1) or 0",
            "0 to 1",
        ): NO_MEMBER_FIRST,
        ("local name_ends = ends_before(value, colon, 1)", "1 to 2"): NO_MEMBER_FIRST,
        ("at = ending + 1", "1 to 2"): "behind an account comes no account",
        ("at = named + 1", "1 to 2"): "behind a name comes no name",
    },
    "bus/lua/learn.lua": {
        (
            "first, last = string.find(members, member, first + 1, true)",
            "1 to 2",
        ): "a comma is between, and no member begins with one",
        ("local starts, comma = {1}, string.find(members, ',', 1, true)", "1 to 2"): NO_MEMBER_IS_EMPTY,
        ("comma = string.find(members, ',', comma + 1, true)", "1 to 2"): NO_MEMBER_IS_EMPTY,
        (
            "local comma = string.find(entry or '', ',', 1, true)",
            "1 to 2",
        ): "without a date before it a comma says nothing",
        (
            "if redis.call('TTL', bucket) < lifetime then redis.call('EXPIRE', bucket, lifetime) end",
            "< to <=",
        ): LESS_THAN_A_SECOND,
    },
    "bus/lua/part_lines.lua": {
        ("local behind = lines[index + 1]", "1 to 2"): MORE_PIECES,
        ("if not behind or behind[1] ~= line[2] + 2 then", "1 to 2"): MORE_PIECES,
        ("if not behind or behind[1] ~= line[2] + 2 then", "2 to 3"): MORE_PIECES,
    },
    "bus/lua/leave_group.lua": {
        (
            "if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then",
            "1 to 2",
        ): "of two there is one, too",
    },
    "bus/lua/part_trimmed.lua": {FIRST_ENTRY: "of two entries the first is looked at, too"},
    "bus/lua/probe_clearing.lua": {
        ("redis.call('EXPIRE', KEYS[3], 1)", "3 to 4"): "the right to it is asked all the same",
    },
    "bus/lua/publish.lua": {
        (
            "if not string.find(text, '\\\\', 1, true) and not string.find(text, '[^ -~]') then",
            "1 to 2",
        ): PARSED,
        ("if string.byte(text, ending + 1) ~= COMMA then break end", "1 to 2"): PARSED,
        ("at = ending + 2", "2 to 3"): PARSED,
        (
            "local from, to = string.find(ARGV[1], '\"id\":' .. ARGV[15], 1, true)",
            "1 to 2",
        ): NO_MEMBER_FIRST,
        ("if taken > 0 and taken + #item + 1 > room then flush() end", "0 to 1"): "an item has more than one byte",
        (
            "redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(oldest, 0)))",
            "0 to 1",
        ): "no entry is of 1970",
    },
    "bus/lua/read_group.lua": {
        ("local first = redis.call('XREAD', 'COUNT', 100, 'STREAMS', KEYS[1], '0-0')", "100 to 101"): A_BOUND,
        (
            "local before = lost and {} or redis.call('XREVRANGE', KEYS[1], ARGV[6], '-', 'COUNT', 100)",
            "100 to 101",
        ): A_BOUND,
        ("if #entries > 0 then note() end", "> to >="): "what is noted already is written again",
        (
            "local leased = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0') or 0",
            "0 to 1",
        ): "a lease of 1970 is over, too",
        ("if #entries > 0 then", "0 to 1"): "where the group stands says the same, and takes longer to ask",
        (
            "for index = 1, #info, 2 do fields[info[index]] = info[index + 1] end",
            "2 to 3",
        ): "the two fields that are asked are six places apart",
    },
    "bus/lua/register.lua": {
        (
            "if value > newest then newest, newest_text = value, text end",
            "> to >=",
        ): "two marks of one value say the same",
        (
            "local newer_than = math.max(math.floor(newest), (tonumber(ARGV[6]) or 0) - 1)",
            "0 to 1",
        ): "what was noted there is a date, and none is below zero",
        (
            "if redis.call('TTL', bucket) < lifetime then redis.call('EXPIRE', bucket, lifetime) end",
            "< to <=",
        ): LESS_THAN_A_SECOND,
    },
    "bus/lua/take_recheck.lua": {
        (
            "local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[3], 'WITHSCORES')",
            "3 to 4",
        ): "more are looked at, and no more taken",
    },
}
"""For each file: line and change, and the reason why no test can notice it, or why none has to."""
