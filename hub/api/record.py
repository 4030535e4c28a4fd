#!/usr/bin/env python3
"""Records the facts about built-in kinds from a running kube-apiserver.

Usage: record.py KUBECONFIG   (a kubeconfig with administrator rights on a fresh kube-apiserver 1.36)

Writes, beside this script:
  kinds.json.gz    resources, scopes, short names, verbs, printer columns, bootstrap RBAC
  types.json.gz    per type: fields, list and map kinds, merge keys, defaults (what `patch` needs)
  openapi.json.gz  schemas and item paths, shared by every group document of /openapi/v3

The files are facts of the peer. Nothing in them is edited by hand: change this script and record again.
"""
import gzip, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = {
    "": ["v1"], "admissionregistration.k8s.io": ["v1"], "apiextensions.k8s.io": ["v1"], "apps": ["v1"],
    "authentication.k8s.io": ["v1"], "authorization.k8s.io": ["v1"], "autoscaling": ["v2"], "batch": ["v1"],
    "coordination.k8s.io": ["v1"], "discovery.k8s.io": ["v1"], "events.k8s.io": ["v1"],
    "networking.k8s.io": ["v1"], "policy": ["v1"], "rbac.authorization.k8s.io": ["v1"],
    "scheduling.k8s.io": ["v1"], "storage.k8s.io": ["v1"],
}
NOT_SERVED = {"bindings", "componentstatuses"}
SUBRESOURCES = {"status", "scale", "token", "eviction", "finalize"}


def get(path, accept="application/json"):
    """Reads one path; `kubectl get --raw` cannot set Accept, so a proxy stands between."""
    return json.loads(subprocess.check_output(
        ["curl", "-sf", "-H", f"Accept: {accept}", f"http://127.0.0.1:{PORT}{path}"]))


def columns(group, version, resource):
    base = f"/api/{version}" if not group else f"/apis/{group}/{version}"
    table = get(f"{base}/{resource}?limit=1", "application/json;as=Table;v=v1;g=meta.k8s.io")
    return [[c["name"], c["type"], c["format"], c["description"], c["priority"]] for c in table["columnDefinitions"]]


def resources():
    agg = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"
    items = get("/api", agg)["items"] + get("/apis", agg)["items"]
    out = []
    for item in items:
        group = item["metadata"].get("name", "")
        for version in item["versions"]:
            if version["version"] not in GROUPS.get(group, []):
                continue
            for r in version["resources"]:
                if r["resource"] in NOT_SERVED:
                    continue
                subs = [s for s in r.get("subresources", []) if s["subresource"] in SUBRESOURCES]
                out.append({
                    "group": group, "version": version["version"], "plural": r["resource"],
                    "kind": r["responseKind"]["kind"], "singular": r["singularResource"],
                    "namespaced": r["scope"] == "Namespaced", "verbs": r["verbs"],
                    "shortNames": r.get("shortNames", []), "categories": r.get("categories", []),
                    "subresources": [[s["subresource"], s.get("responseKind", {}), s["verbs"]] for s in subs],
                    "columns": columns(group, version["version"], r["resource"]) if "list" in r["verbs"] else [],
                })
    return out


def bootstrap_rbac():
    out = {}
    for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings"):
        rows = []
        for o in get(f"/apis/rbac.authorization.k8s.io/v1/{plural}")["items"]:
            if o["metadata"].get("labels", {}).get("kubernetes.io/bootstrapping") != "rbac-defaults":
                continue
            m = {k: v for k, v in o["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
            rows.append({**{k: v for k, v in o.items() if k not in ("metadata", "kind", "apiVersion")}, "metadata": m})
        out[plural] = rows
    return out


SCALARS = {"string": "s", "integer": "i", "number": "n", "boolean": "b"}


def node(s):
    """One OpenAPI schema as a compact node; see patch::schema::Node for the letters."""
    n = {}
    ref = s.get("$ref") or next((a["$ref"] for a in s.get("allOf", []) if "$ref" in a), None)
    if ref:
        n["r"] = ref.rsplit("/", 1)[1]
    elif "oneOf" in s:
        n["t"] = "x"
    elif s.get("type") in SCALARS:
        n["t"] = SCALARS[s["type"]]
    elif s.get("type") == "array":
        n["t"] = "l"
        n["e"] = node(s["items"])
    elif "properties" in s:
        n["t"] = "o"
        n["f"] = {k: node(v) for k, v in s["properties"].items()}
        for k, v in s["properties"].items():
            # Go writes these even when they are empty: structs that are no pointers, and lists without omitempty.
            if v.get("default") == {} or k in s.get("required", []) and v.get("type") in ("array", "object"):
                n["f"][k]["z"] = True
        if s.get("required"):
            n["q"] = s["required"]
    elif isinstance(s.get("additionalProperties"), dict):
        n["t"] = "m"
        n["e"] = node(s["additionalProperties"])
    else:
        n["t"] = "a"
    if s.get("x-kubernetes-list-type") in ("set", "map"):
        n["l"] = s["x-kubernetes-list-type"]
        if n["l"] == "map":
            n["k"] = s["x-kubernetes-list-map-keys"]
    if s.get("x-kubernetes-map-type") == "atomic":
        n["a"] = True
    if "x-kubernetes-patch-strategy" in s:
        n["p"] = s["x-kubernetes-patch-strategy"].split(",")
    if "x-kubernetes-patch-merge-key" in s:
        n["mk"] = s["x-kubernetes-patch-merge-key"]
    if s.get("default", None) not in (None, {}, "", 0, False):
        n["d"] = s["default"]
    return n


PATCH_PARAMETERS = [{"name": n, "in": "query", "schema": {"type": t, "uniqueItems": True}} for n, t in (
    ("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean"))]
METHODS = ("get", "put", "post", "patch", "delete")


def openapi(served):
    schemas, paths, types, kinds = {}, {}, {}, {}
    for group, versions in sorted(GROUPS.items()):
        for version in versions:
            key = f"api/{version}" if not group else f"apis/{group}/{version}"
            doc = get(f"/openapi/v3/{key}")
            schemas.update(doc["components"]["schemas"])
            kept = {}
            for path, item in doc["paths"].items():
                parts = path.split("/")
                if "/watch/" in path or parts[-1] not in served and not (
                        parts[-1].startswith("{") or parts[-1] in SUBRESOURCES):
                    continue
                small = {}
                for method in METHODS:
                    op = item.get(method)
                    if not op or "x-kubernetes-group-version-kind" not in op:
                        continue
                    small[method] = {k: op[k] for k in ("operationId", "x-kubernetes-action",
                                                         "x-kubernetes-group-version-kind") if k in op}
                    small[method]["responses"] = {}
                    if method in ("patch", "post", "put"):
                        small[method]["parameters"] = PATCH_PARAMETERS
                if small:
                    kept[path] = small
            paths[key] = kept
    for name, schema in schemas.items():
        types[name] = node(schema)
        gvks = schema.get("x-kubernetes-group-version-kind", [])
        if len(gvks) == 1:
            g = gvks[0]
            kinds[f"{g['group']}/{g['version']}/{g['kind']}"] = name
    return {"schemas": schemas, "paths": paths}, {"types": types, "kinds": kinds}


def write(name, value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    data = gzip.compress(text, 9, mtime=0)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)
    print(f"{name}: {len(text)} bytes, {len(data)} compressed")


def main():
    found = resources()
    write("kinds.json.gz", {"version": get("/version"), "resources": found, "rbac": bootstrap_rbac()})
    docs, types = openapi({r["plural"] for r in found})
    write("types.json.gz", types)
    write("openapi.json.gz", docs)


if __name__ == "__main__":
    proxy = subprocess.Popen(["kubectl", "--kubeconfig", sys.argv[1], "proxy", "--port=0"],
                             stdout=subprocess.PIPE, text=True)
    PORT = int(proxy.stdout.readline().rsplit(":", 1)[1])
    try:
        main()
    finally:
        proxy.terminate()
