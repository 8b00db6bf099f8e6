"""Java's serialisation that other programs wrote, read within limits; no class is ever loaded (JOSS, chapter 6).

Of an object are taken: its fields by name, those of its classes together; of a map its entries; of any other collection
what was written into it. So the text in a session can be searched, and claims keep their names.
"""

from __future__ import annotations

import struct
from typing import Any

from receiver.errors import BadValueError

MAGIC = b"\xac\xed\x00\x05"

MAX_DEPTH = 64
"""Levels of nesting accepted."""

MAX_ITEMS = 100_000
"""Values and fields read from one text; a session has some hundred."""

_PRIMITIVES = {"B": ">b", "C": ">H", "D": ">d", "F": ">f", "I": ">i", "J": ">q", "S": ">h", "Z": ">?"}
_OBJECTS = "[L"
"""What the types of fields begin with that hold objects."""

# JOSS §6.4.2: SC_WRITE_METHOD, SC_EXTERNALIZABLE and SC_BLOCK_DATA. SC_SERIALIZABLE (2) goes with the first, and
# changes nothing for a reader.
_WRITES_ITSELF, _EXTERNALIZABLE, _IN_BLOCKS = 1, 4, 8
"""Flags of a class: its own `writeObject` adds data; it writes all its data itself, and does so in blocks."""

_MAPS = ("Map", "Hashtable")
"""How the names of classes end that write their entries as key and value in turn."""

_COLLECTIONS = ("List", "Set", "Deque", "Queue", "Vector")
"""How the names of Java's own classes end that write their elements."""

_WRAPPED = ("m", "c", "list", "value")
"""Fields of Java's own views and boxes that hold what is looked at or boxed, the first that is there."""

_MAP_TAG = 3
"""What `List.of`, `Set.of` and `Map.of` write for a map."""

_MAX_CLASSES = 64
"""Classes of one object, from its own to the topmost."""


class _Class:
    """A description of a class.

    Attributes:
        name: Its full name.
        flags: How its objects are written.
        fields: Names and types.
        parent: That above it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.flags = 0
        self.fields: list[tuple[str, str]] = []
        self.parent: _Class | None = None


def parse(serialised: bytes) -> Any:
    """The first value: objects and maps as mappings, arrays and collections as lists, text, numbers.

    Raises:
        BadValueError: `shape` where it is no such stream, `too_deep` or `too_many`.
    """
    # JOSS §6.4.1: a magic number, a version, then contents. No class is looked up and no object made: in Java itself a
    # stream that a visitor wrote could run code while it is read (CWE-502).
    if not serialised.startswith(MAGIC):
        raise BadValueError("shape")
    try:
        return _Reader(serialised).content(MAX_DEPTH)
    except (IndexError, KeyError, struct.error) as error:
        raise BadValueError("shape") from error


class _Reader:
    """One look through the stream: contents in order, and what was seen by its number."""

    def __init__(self, serialised: bytes) -> None:
        self._bytes = serialised
        self._at = len(MAGIC)
        self._seen: list[Any] = []
        self._items = 0
        # Java Object Serialization Specification §6.4.2: the byte that says what follows.
        self._of_kind = {
            0x70: self._nothing, 0x71: self._reference, 0x72: self._described, 0x73: self._object, 0x74: self._text,
            0x75: self._array, 0x76: self._class_itself, 0x77: self._block, 0x7A: self._long_block,
            0x7C: self._long_text, 0x7D: self._proxy, 0x7E: self._enum,
        }  # fmt: skip

    def content(self, depth: int) -> Any:
        """The one object that begins here."""
        self._items += 1
        if depth == 0:
            raise BadValueError("too_deep")
        if self._items > MAX_ITEMS:
            raise BadValueError("too_many")
        return self._of_kind[self._number(">B")](depth)

    def _nothing(self, _depth: int) -> None:
        return None

    def _reference(self, _depth: int) -> Any:
        # §6.4.2, `baseWireHandle`: what was written before is numbered from there.
        return self._seen[self._number(">i") - 0x7E0000]

    def _text(self, _depth: int) -> str:
        return self._remembered_text(">H")

    def _remembered_text(self, length: str) -> str:
        # §6.4.1, `newString`: each text gets a handle, also where nothing refers to it; one that is left out would
        # shift all later ones.
        text = self._utf(self._number(length))
        self._remember(text)
        return text

    def _long_text(self, _depth: int) -> str:
        return self._remembered_text(">Q")

    def _block(self, _depth: int) -> bytes:
        return self._raw(self._number(">B"))

    def _long_block(self, _depth: int) -> bytes:
        return self._raw(self._number(">I"))

    def _class_itself(self, depth: int) -> None:
        self._class(depth)
        self._remember(None)

    def _described(self, depth: int) -> _Class:
        """A new description."""
        found = _Class(self._utf(self._number(">H")))
        # The serialVersionUID: no object is ever made, so it does not matter which version of a class wrote it.
        self._raw(8)
        self._remember(found)
        found.flags = self._number(">B")
        for _ in range(self._number(">H")):
            kind = chr(self._number(">B"))
            name = self._utf(self._number(">H"))
            if kind in _OBJECTS:
                self.content(depth - 1)
            found.fields.append((name, kind))
        return self._ended(found, depth)

    def _proxy(self, depth: int) -> _Class:
        # §6.4.1, `proxyClassDescInfo`: the names of its interfaces in place of fields.
        found = self._remember(_Class(""))
        for _ in range(self._number(">I")):
            self._utf(self._number(">H"))
        return self._ended(found, depth)

    def _ended(self, found: _Class, depth: int) -> _Class:
        self._written(depth)
        found.parent = self._class(depth)
        return found

    def _class(self, depth: int) -> _Class | None:
        found = self.content(depth - 1)
        if found is not None and not isinstance(found, _Class):
            raise BadValueError("shape")
        return found

    def _object(self, depth: int) -> Any:
        of = self._class(depth)
        name = of.name if of is not None else ""
        # §6.4.1, `newObject`: the handle is given before the fields are read, which may refer back to the object.
        number = len(self._seen)
        made: dict[Any, Any] = self._remember({})
        lineage: list[_Class] = []
        while of is not None:
            lineage.append(of)
            # By a reference a class can be its own ancestor, and the chain would have no end.
            if len(lineage) > _MAX_CLASSES:
                raise BadValueError("shape")
            of = of.parent
        # §6.4.1, `classdata`: from the topmost serialisable class down to the object's own.
        for each in reversed(lineage):
            if each.flags & _EXTERNALIZABLE:
                # Written by protocol version 1: only the class itself knows where its data end.
                if not each.flags & _IN_BLOCKS:
                    raise BadValueError("shape")
                self._add(made, each, self._written(depth))
                continue
            for field, kind in each.fields:
                made[field] = self._field(kind, depth)
            if each.flags & _WRITES_ITSELF:
                self._add(made, each, self._written(depth))
        self._seen[number] = _plain(name, made)
        return self._seen[number]

    def _array(self, depth: int) -> Any:
        of = self._class(depth)
        if of is None:
            raise BadValueError("shape")
        made: list[Any] = self._remember([])
        kind = of.name[1:2]
        length = self._number(">I")
        # Only `byte[]` can hold a text. The others are passed over in the same way, by the size of what they hold.
        if kind in _PRIMITIVES:
            return self._raw(length * struct.calcsize(_PRIMITIVES[kind]))
        made += [self.content(depth - 1) for _ in range(length)]
        return made

    def _enum(self, depth: int) -> Any:
        # §6.4.1, `newEnum`: class, handle, and the constant's name as a text.
        self._class(depth)
        self._remember(None)
        return self.content(depth - 1)

    def _field(self, kind: str, depth: int) -> Any:
        self._items += 1
        return self.content(depth - 1) if kind in _OBJECTS else self._number(_PRIMITIVES[kind])

    def _written(self, depth: int) -> list[Any]:
        """What a class wrote itself, up to its end."""
        # §6.4.1, `objectAnnotation`: what `writeObject` wrote behind the fields has no length, only an end.
        found = []
        while self._bytes[self._at] != 0x78:  # noqa: PLR2004  # TC_ENDBLOCKDATA
            found.append(self.content(depth - 1))
        self._at += 1
        return found

    @staticmethod
    def _add(made: dict[Any, Any], of: _Class, written: list[Any]) -> None:
        if of.name.endswith(_MAPS):
            made.update(_entries(written))
        elif written:
            made[of.name] = written

    def _remember(self, value: Any) -> Any:
        self._seen.append(value)
        return value

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._raw(struct.calcsize(form)))[0]

    def _utf(self, length: int) -> str:
        # Java writes characters beyond the BMP and NUL in a way of its own; neither is in a name or a token.
        return self._raw(length).decode("utf-8", "replace")

    def _raw(self, length: int) -> bytes:
        begin, self._at = self._at, self._at + length
        if self._at > len(self._bytes):
            raise BadValueError("shape")
        return self._bytes[begin : self._at]


def _entries(written: list[Any]) -> dict[Any, Any]:
    """Of a map: keys and values in turn; what is between are sizes."""
    parts = [each for each in written if not isinstance(each, bytes)]
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return {key if isinstance(key, str) else number: value for number, (key, value) in enumerate(pairs)}


def _plain(name: str, made: dict[Any, Any]) -> Any:  # noqa: PLR0911  # one for each kind of class
    """What an object of Java's own classes stands for; any other one as it is."""
    if not name.startswith("java."):
        return made
    written = [each for each in made.get(name) or () if not isinstance(each, bytes)]
    block = b"".join(each for each in made.get(name) or () if isinstance(each, bytes))
    # Spring Security keeps `iss` as a URL, dates as `Instant` and `aud` as a list; each has to be again what the ID
    # token said.
    if name == "java.net.URL":
        return f"{made.get('protocol')}://{made.get('authority')}{made.get('file') or ''}"
    if name == "java.util.Date" and len(block) == 8:  # noqa: PLR2004  # milliseconds
        return struct.unpack(">q", block)[0] / 1000
    # The first byte is the kind of value: 2 is `Instant`, seconds and then nanoseconds. `iat` and `auth_time` have no
    # parts of a second.
    if name == "java.time.Ser" and block[:1] == b"\x02":
        return float(struct.unpack_from(">q", block, 1)[0])
    # Since Java 9 `List.of`, `Set.of` and `Map.of` are written by this proxy; `tag` says which it stands for.
    if name == "java.util.CollSer":
        return _entries(written) if made.get("tag") == _MAP_TAG else written
    if name.startswith("java.lang.") or "Collections$" in name:
        return next((made[field] for field in _WRAPPED if made.get(field) is not None), made)
    return written if name.endswith(_COLLECTIONS) and name in made else made
