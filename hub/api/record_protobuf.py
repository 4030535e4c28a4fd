#!/usr/bin/env python3
"""Records field numbers of built-in types, for clients that send protobuf (kubectl create, auth can-i).

Usage: record_protobuf.py MODULE_DIR   (the folder that holds k8s.io/api@v0.36.x and its neighbours)

Writes protobuf.json.gz: type -> number -> [JSON name, type, form]; form is "" (one), "r" (repeated),
"m" (map) or "n" (a Go struct that JSON inlines). Needs types.json.gz, which says what JSON calls a field.
"""
import glob, gzip, json, os, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
SCALARS = {"string": "s", "bytes": "y", "bool": "b", "int32": "i", "int64": "i", "double": "d", "uint32": "i"}
FIELD = re.compile(r"^\s*(optional|repeated|map<string,\s*(?P<value>[^>]+)>)\s*(?P<type>[.\w]+)?\s+(?P<name>\w+)\s*=\s*(?P<number>\d+)")
TYPES = json.loads(gzip.open(os.path.join(HERE, "types.json.gz")).read())["types"]


def openapi_name(proto):
    return "io.k8s." + proto[len("k8s.io."):] if proto.startswith("k8s.io.") else proto


def parse(path, table):
    package, message = "", None
    for line in open(path):
        if m := re.match(r"package ([\w.]+);", line):
            package = m.group(1)
        elif m := re.match(r"message (\w+) {", line):
            message = openapi_name(f"{package}.{m.group(1)}")
            table[message] = {}
        elif message and (m := FIELD.match(line)):
            kind = (m.group("value") or m.group("type")).strip()
            if kind in SCALARS:
                kind = SCALARS[kind]
            else:
                kind = openapi_name(kind[1:] if kind.startswith(".") else f"{package}.{kind}")
            form = "m" if m.group("value") else "r" if m.group(1) == "repeated" else ""
            declared = TYPES.get(message, {}).get("f", {})
            if not form and kind not in SCALARS.values() and declared and m.group("name") not in declared:
                form = "n"
            table[message][m.group("number")] = [m.group("name"), kind, form]


def main(root):
    table = {}
    for module in ("api", "apimachinery", "apiextensions-apiserver"):
        folder = sorted(glob.glob(os.path.join(root, "k8s.io", f"{module}@v0.36.*")))[-1]
        for path in glob.glob(os.path.join(folder, "**", "generated.proto"), recursive=True):
            parse(path, table)
    reached, queue = set(), [n for n in table if n in TYPES]
    while queue:
        name = queue.pop()
        if name not in reached and name in table:
            reached.add(name)
            queue += [row[1] for row in table[name].values()]
    small = {name: table[name] for name in reached}
    text = json.dumps(small, sort_keys=True, separators=(",", ":")).encode()
    data = gzip.compress(text, 9, mtime=0)
    with open(os.path.join(HERE, "protobuf.json.gz"), "wb") as f:
        f.write(data)
    print(f"{len(small)} types, {len(text)} bytes, {len(data)} compressed")


main(sys.argv[1])
