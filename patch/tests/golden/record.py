#!/usr/bin/env python3
"""Records what kube-apiserver makes of patches and applies, as goldens of the crate `patch`.

Usage: record.py PROXY_URL OUT            the fixed scenarios (`kubectl proxy` of a fresh kube-apiserver 1.36)
       record.py PROXY_URL OUT SEED N     N random scenarios, for a larger comparison

One line of OUT is one scenario: its kind and its steps, each with request, status and answer.
Nothing in the recording is edited by hand: change this script and record again.
"""
import json, random, sys, time, urllib.request, urllib.error

URL, OUT = sys.argv[1], sys.argv[2]
PAUSE = 1.05  # times have seconds, and whether one changed is part of the answer
TYPES = {
    "ConfigMap": ("/api/v1/namespaces/default/configmaps", "v1"),
    "Service": ("/api/v1/namespaces/default/services", "v1"),
    "Pod": ("/api/v1/namespaces/default/pods", "v1"),
    "ServiceAccount": ("/api/v1/namespaces/default/serviceaccounts", "v1"),
    "Deployment": ("/apis/apps/v1/namespaces/default/deployments", "apps/v1"),
    "Ingress": ("/apis/networking.k8s.io/v1/namespaces/default/ingresses", "networking.k8s.io/v1"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", "rbac.authorization.k8s.io/v1"),
    "Widget": ("/apis/golden.example.com/v1/namespaces/default/widgets", "golden.example.com/v1"),
}
STR, INT = {"type": "string"}, {"type": "integer"}
PRESERVE = {"x-kubernetes-preserve-unknown-fields": True}
ITEM = {"type": "object", "required": ["name"], "properties": {
    "name": STR, "zone": {"type": "string", "default": "a"}, "value": STR, "count": INT,
    "sub": {"type": "object", "properties": {"x": STR, "y": STR}}}}
WIDGET = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
    "size": INT, "note": {"type": "string", "nullable": True},
    "atomicList": {"type": "array", "items": STR},
    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": STR},
    "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": ITEM},
    "zoned": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "zone"], "items": ITEM},
    "free": {"type": "object", "additionalProperties": STR},
    "atomicMap": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STR},
    "atomicStruct": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": STR, "b": STR}},
    "deep": {"type": "object", "properties": {"mid": {"type": "object", "properties": {"a": STR, "b": STR}}}},
    "any": {"type": "object", **PRESERVE}, "port": {"x-kubernetes-int-or-string": True}}},
    "status": {"type": "object", "properties": {"phase": STR, "ready": INT}}}}
CRD = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.golden.example.com"},
       "spec": {"group": "golden.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                              "schema": {"openAPIV3Schema": WIDGET}}]}}


def call(method, path, body=None, media="application/json"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": media}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else {}


MEDIA = {"smp": "application/strategic-merge-patch+json", "merge": "application/merge-patch+json",
         "json": "application/json-patch+json", "apply": "application/apply-patch+yaml"}


def run(name, kind, steps):
    path, version = TYPES[kind]
    done = []
    call("DELETE", f"{path}/{name}?gracePeriodSeconds=0")
    for step in steps:
        op, manager, body = step[0], step[1], step[2]
        options = step[3] if len(step) > 3 else {}
        sub = options.get("sub", "")
        if isinstance(body, dict) and op in ("create", "apply", "update"):
            body = {"apiVersion": version, "kind": kind, **body}
            body["metadata"] = {"name": name, **body.get("metadata", {})}
        query = f"?fieldManager={manager}" + ("&force=true" if options.get("force") else "")
        target = f"{path}/{name}" + (f"/{sub}" if sub else "")
        if op == "create":
            status, answer = call("POST", path + query, body)
        elif op == "update":
            status, answer = call("PUT", target + query, body)
        else:
            status, answer = call("PATCH", target + query, body, MEDIA[op])
        done.append({"op": op, "manager": manager, "force": bool(options.get("force")), "sub": sub, "body": body,
                     "status": status, "answer": answer})
        if sub == "scale":
            done[-1]["object"] = call("GET", f"{path}/{name}")[1]
        time.sleep(PAUSE)
    call("DELETE", f"{path}/{name}?gracePeriodSeconds=0")
    return {"name": name, "kind": kind, "apiVersion": version, "steps": done}


def cm(**data):
    return {"data": data}


def w(**spec):
    return {"spec": spec}


def deploy(containers, **spec):
    return {"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {
        "metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers}}, **spec}}


F = {"force": True}
C1 = {"name": "a", "image": "a:1"}
C2 = {"name": "b", "image": "b:1", "ports": [{"containerPort": 80}]}
SCENARIOS = [
    ("apply-again", "ConfigMap", [("apply", "m", cm(a="1")), ("apply", "m", cm(a="1"))]),
    ("apply-drops-field", "ConfigMap", [("apply", "m", cm(a="1", b="2")), ("apply", "m", cm(a="1"))]),
    ("apply-drops-all", "ConfigMap", [("apply", "m", cm(a="1")), ("apply", "m", {})]),
    ("apply-two-managers", "ConfigMap", [("apply", "m", cm(a="1")), ("apply", "n", cm(b="2")), ("apply", "m", {}), ("apply", "n", cm(b="3"))]),
    ("apply-shared", "ConfigMap", [("apply", "m", cm(a="1")), ("apply", "n", cm(a="1")), ("apply", "m", {}), ("apply", "n", {})]),
    ("apply-conflict", "ConfigMap", [("apply", "m", cm(a="1", b="1")), ("apply", "n", cm(a="2", b="2")), ("apply", "n", cm(a="2"), F), ("apply", "m", cm(a="1"), F)]),
    ("apply-conflict-two", "ConfigMap", [("apply", "m", cm(a="1")), ("apply", "n", cm(b="1")), ("apply", "o", cm(a="2", b="2")), ("apply", "o", cm(a="2", b="2"), F)]),
    ("apply-labels", "ConfigMap", [("apply", "m", {"metadata": {"labels": {"a": "1"}, "annotations": {"x": "y"}}}), ("apply", "n", {"metadata": {"labels": {"b": "2"}}}), ("apply", "m", {}), ("apply", "n", {})]),
    ("apply-after-create", "ConfigMap", [("create", "c", cm(a="1")), ("apply", "m", cm(a="1")), ("apply", "m", cm(a="2")), ("apply", "m", cm(a="2"), F), ("apply", "m", {})]),
    ("update-takes", "ConfigMap", [("apply", "m", cm(a="1", b="2")), ("merge", "u", cm(a="9")), ("apply", "m", cm(a="1", b="2")), ("apply", "m", cm(b="2")), ("merge", "u", cm(a=None))]),
    ("update-adds", "ConfigMap", [("create", "c", cm(a="1")), ("merge", "u", cm(b="2")), ("merge", "u", cm(b="2")), ("merge", "c", cm(b="3")), ("merge", "u", cm(b=None))]),
    ("update-whole", "ConfigMap", [("create", "c", cm(a="1", b="1")), ("update", "u", cm(a="2")), ("update", "u", {}), ("update", "c", {"metadata": {"labels": {"l": "1"}}})]),
    ("update-resets-managers", "ConfigMap", [("apply", "m", cm(a="1")), ("merge", "u", {"metadata": {"managedFields": [{}]}}), ("merge", "u", cm(b="1")), ("apply", "m", cm(a="2"))]),
    ("apply-brings-managed", "ConfigMap", [("apply", "m", {"metadata": {"managedFields": [{"manager": "x"}]}})]),
    ("apply-empty-data", "ConfigMap", [("apply", "m", {"data": {}}), ("apply", "m", cm(a="1")), ("apply", "m", {"data": {}}), ("apply", "m", {})]),
    ("apply-null", "ConfigMap", [("apply", "m", {"data": None}), ("apply", "m", cm(a="1")), ("apply", "m", {"data": None})]),
    ("apply-undeclared", "ConfigMap", [("apply", "m", {"foo": 1})]),
    ("apply-finalizers", "ConfigMap", [("apply", "m", {"metadata": {"finalizers": ["x.io/a", "x.io/b"]}}), ("apply", "n", {"metadata": {"finalizers": ["x.io/c", "x.io/a"]}}), ("apply", "m", {}), ("apply", "n", {})]),
    ("apply-duplicate-set", "ConfigMap", [("apply", "m", {"metadata": {"finalizers": ["x.io/a", "x.io/a"]}})]),
    ("kubectl-takes-over", "ConfigMap", [("create", "kubectl-client-side-apply", {"data": {"a": "1"}, "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kubectl-takes-over"},"data":{"a":"1"}}'}}}), ("apply", "kubectl", cm(a="2")), ("apply", "kubectl", cm(a="3"))]),
    ("kubectl-conflicts", "ConfigMap", [("create", "c", {"data": {"a": "1", "b": "1"}, "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kubectl-conflicts"},"data":{"a":"1"}}'}}}), ("apply", "kubectl", cm(a="2", b="2"))]),
    ("many-updaters", "ConfigMap", [("create", "u0", cm(k0="0"))] + [("merge", f"u{i}", cm(**{f"k{i}": "1"})) for i in range(1, 13)]),
    ("deploy-containers", "Deployment", [("apply", "m", deploy([C1, C2], replicas=2)), ("apply", "n", deploy([{"name": "a", "env": [{"name": "X", "value": "1"}]}])), ("apply", "m", deploy([C2], replicas=2)), ("apply", "m", deploy([{**C2, "ports": [{"containerPort": 81, "protocol": "UDP"}]}]))]),
    ("deploy-order", "Deployment", [("apply", "m", deploy([C1, C2])), ("apply", "n", deploy([{"name": "c", "image": "c:1"}, {"name": "a"}])), ("apply", "m", deploy([C2, C1]))]),
    ("deploy-replicas-handover", "Deployment", [("apply", "m", deploy([C1], replicas=1)), ("merge", "hpa", {"spec": {"replicas": 5}}), ("apply", "m", deploy([C1], replicas=1)), ("apply", "m", deploy([C1])), ("apply", "m", deploy([C1], replicas=1), F)]),
    ("deploy-scale-sub", "Deployment", [("apply", "m", deploy([C1], replicas=1)), ("merge", "s", {"spec": {"replicas": 3}}, {"sub": "scale"}), ("apply", "m", deploy([C1], replicas=1))]),
    ("deploy-status", "Deployment", [("apply", "m", deploy([C1])), ("merge", "k", {"status": {"replicas": 1, "readyReplicas": 0}}, {"sub": "status"}), ("apply", "s", {"status": {"replicas": 2}}, {"sub": "status", "force": True}), ("apply", "m", {**deploy([C1]), "status": {"replicas": 9}})]),
    ("deploy-ports-default-key", "Deployment", [("apply", "m", deploy([{**C1, "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]}])), ("apply", "m", deploy([{**C1, "ports": [{"containerPort": 80, "protocol": "TCP", "name": "web"}]}]))]),
    ("service-ports", "Service", [("apply", "m", {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80}, {"port": 81, "name": "x"}]}}), ("apply", "m", {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "name": "y"}, {"port": 81, "name": "x"}]}}), ("apply", "n", {"spec": {"ports": [{"port": 82, "name": "z"}]}}), ("apply", "m", {"spec": {"ports": [{"port": 81, "name": "x"}]}})]),
    ("service-selector-atomic", "Service", [("apply", "m", {"spec": {"selector": {"a": "b", "c": "d"}, "ports": [{"port": 80}]}}), ("apply", "n", {"spec": {"selector": {"a": "b"}}}), ("apply", "n", {"spec": {"selector": {"a": "b"}}}, F), ("apply", "m", {"spec": {"ports": [{"port": 80}]}})]),
    ("role-rules-atomic", "Role", [("apply", "m", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}), ("apply", "n", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}), ("apply", "m", {})]),
    ("widget-lists", "Widget", [("apply", "m", w(size=1, tags=["a", "b"], items=[{"name": "x", "value": "1"}, {"name": "y"}], atomicList=["1"])), ("apply", "n", w(tags=["c", "b"], items=[{"name": "z"}, {"name": "x", "count": 1}])), ("apply", "m", w(tags=["b"], items=[{"name": "y", "sub": {"x": "1"}}])), ("apply", "n", w(tags=[], items=[])), ("apply", "n", {})]),
    ("widget-maps", "Widget", [("apply", "m", w(free={"a": "1", "b": "2"}, atomicMap={"a": "1"}, atomicStruct={"a": "1"}, deep={"mid": {"a": "1"}})), ("apply", "n", w(free={"c": "3"}, deep={"mid": {"b": "2"}})), ("apply", "m", w(free={"a": "1"}, atomicMap={"b": "2"})), ("apply", "n", w()), ("apply", "m", w(free={}, deep={}))]),
    ("widget-unknown", "Widget", [("apply", "m", w(any={"a": {"b": 1, "c": [1, 2]}, "d": "x"})), ("apply", "n", w(any={"a": {"e": 2}})), ("apply", "m", w(any={"a": {"b": 1}})), ("apply", "n", w(any={"a": {"c": [3]}})), ("apply", "m", w(any={"a": "scalar"}), F), ("apply", "m", w(any={"a": None}))]),
    ("widget-zoned", "Widget", [("apply", "m", w(zoned=[{"name": "x"}, {"name": "x", "zone": "b", "value": "1"}])), ("apply", "n", w(zoned=[{"name": "x", "zone": "a", "value": "2"}])), ("apply", "m", w(zoned=[{"name": "x", "zone": "b"}])), ("apply", "m", w(zoned=[{"value": "1"}]))]),
    ("widget-nulls", "Widget", [("apply", "m", w(note=None, size=1)), ("apply", "m", w(note="a")), ("apply", "m", w(free=None, items=None)), ("apply", "m", w(port=80)), ("apply", "n", w(port="80"))]),
    ("widget-status", "Widget", [("apply", "m", {**w(size=1), "status": {"phase": "x"}}), ("apply", "s", {"status": {"phase": "y", "ready": 1}}, {"sub": "status"}), ("merge", "u", {"status": {"ready": 2}}, {"sub": "status"}), ("apply", "s", {"status": {"phase": "y", "ready": 1}}, {"sub": "status"}), ("merge", "u", {"spec": {"size": 2}})]),
    ("widget-update-lists", "Widget", [("create", "c", w(items=[{"name": "x", "value": "1"}], tags=["a"], any={"l": [1]}, free={})), ("merge", "u", w(items=[{"name": "x", "value": "2"}, {"name": "y"}], tags=["b"])), ("merge", "u", w(any={"l": [2], "m": {"n": 1}}, free={"a": "b"})), ("merge", "c", w(any=None, free=None, items=[]))]),
    ("widget-duplicates", "Widget", [("apply", "m", w(items=[{"name": "x"}, {"name": "x"}])), ("apply", "m", w(size="no"))]),
    # strategic merge patch
    ("smp-containers", "Deployment", [("create", "c", deploy([C1, C2])), ("smp", "s", deploy([{"name": "a", "image": "a:2"}])), ("smp", "s", deploy([{"name": "c", "image": "c:1"}])), ("smp", "s", deploy([{"name": "b", "$patch": "delete"}])), ("smp", "s", deploy([{"$patch": "replace"}, {"name": "z", "image": "z:1"}]))]),
    ("smp-order", "Deployment", [("create", "c", deploy([C1, C2, {"name": "c", "image": "c:1"}])), ("smp", "s", {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}}}), ("smp", "s", {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "a"}, {"name": "c"}], "containers": [{"name": "d", "image": "d:1"}]}}}})]),
    ("smp-env", "Deployment", [("create", "c", deploy([{**C1, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["x", "y"]}])), ("smp", "s", deploy([{"name": "a", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}], "args": ["z"]}])), ("smp", "s", deploy([{"name": "a", "env": [{"name": "A", "$patch": "delete"}], "args": None}])), ("smp", "s", deploy([{"name": "a", "env": [{"$patch": "replace"}]}]))]),
    ("smp-ports", "Service", [("create", "c", {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], "selector": {"a": "b"}}}), ("smp", "s", {"spec": {"ports": [{"port": 81, "targetPort": 8081}]}}), ("smp", "s", {"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}), ("smp", "s", {"spec": {"selector": {"c": "d"}}}), ("smp", "s", {"spec": {"selector": {"$patch": "replace", "e": "f"}}})]),
    ("smp-strategy-retain", "Deployment", [("create", "c", {**deploy([C1])}), ("smp", "s", {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}), ("smp", "s", {"spec": {"strategy": {"$retainKeys": ["type", "rollingUpdate"], "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}}}), ("smp", "s", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}), ("smp", "s", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3}}}})]),
    ("smp-finalizers", "ConfigMap", [("create", "c", {"metadata": {"finalizers": ["x.io/a", "x.io/b"]}}), ("smp", "s", {"metadata": {"finalizers": ["x.io/c", "x.io/a"]}}), ("smp", "s", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/b"]}}), ("smp", "s", {"metadata": {"$setElementOrder/finalizers": ["x.io/c", "x.io/a"], "finalizers": ["x.io/c"]}}), ("smp", "s", {"metadata": {"finalizers": None}})]),
    ("smp-maps", "ConfigMap", [("create", "c", cm(a="1", b="2")), ("smp", "s", cm(a=None, c="3")), ("smp", "s", {"data": {"$patch": "replace", "d": "4"}}), ("smp", "s", {"data": {"$patch": "delete"}}), ("smp", "s", {"data": {"$patch": "merge", "e": "5"}}), ("smp", "s", {"data": {"$patch": "bogus", "e": "5"}}), ("smp", "s", {"data": None})]),
    ("smp-volumes", "Deployment", [("create", "c", {"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [C1], "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "w"}}]}}}}), ("smp", "s", {"spec": {"template": {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}}}}), ("smp", "s", {"spec": {"template": {"spec": {"volumes": [{"name": "w", "configMap": {"items": [{"key": "a", "path": "b"}]}}]}}}}), ("smp", "s", {"spec": {"template": {"spec": {"volumes": [{"$patch": "delete", "name": "v"}]}}}})]),
    ("smp-no-key", "Deployment", [("create", "c", deploy([C1])), ("smp", "s", deploy([{"image": "x"}])), ("smp", "s", deploy(["x"]))]),
    ("smp-new-with-directives", "Deployment", [("create", "c", deploy([C1])), ("smp", "s", deploy([{"name": "n", "image": "n", "env": [{"name": "A", "value": "1"}, {"name": "B", "$patch": "delete"}], "resources": {"limits": None}}])), ("smp", "s", {"metadata": {"labels": {"$patch": "replace", "a": "b"}, "annotations": {"x": "y", "z": None}}})]),
    ("smp-secrets", "ServiceAccount", [("create", "c", {"imagePullSecrets": [{"name": "a"}], "secrets": [{"name": "s"}]}), ("smp", "s", {"imagePullSecrets": [{"name": "b"}]}), ("smp", "s", {"imagePullSecrets": [{"name": "b"}, {"name": "a", "$patch": "delete"}], "secrets": [{"name": "t"}]})]),
    ("smp-ingress-atomic", "Ingress", [("create", "c", {"spec": {"rules": [{"host": "a.io"}, {"host": "b.io"}], "tls": [{"hosts": ["a.io"]}]}}), ("smp", "s", {"spec": {"rules": [{"host": "c.io"}]}}), ("merge", "s", {"spec": {"tls": None}})]),
]


def random_scenario(r, n):
    def pick(maker, most):
        names = ["x", "y", "z", "v"]
        r.shuffle(names)
        return [maker(name) for name in names[:r.randint(0, most)]]

    def item(name):
        found = {"name": name}
        for key, value in (("value", str(r.randint(0, 2))), ("count", r.randint(0, 2)), ("sub", {"x": str(r.randint(0, 1))}), ("zone", r.choice("ab"))):
            if r.random() < 0.35:
                found[key] = value
        return found

    def body():
        spec = {}
        for key, make in (("size", lambda: r.randint(1, 3)), ("tags", lambda: pick(str, 3)), ("items", lambda: pick(item, 3)),
                          ("zoned", lambda: pick(item, 2)), ("free", lambda: {k: str(r.randint(0, 1)) for k in pick(str, 2)}),
                          ("atomicMap", lambda: {k: "1" for k in pick(str, 2)}), ("atomicList", lambda: pick(str, 2)),
                          ("deep", lambda: r.choice([{}, {"mid": {}}, {"mid": {"a": "1"}}, {"mid": {"b": str(r.randint(0, 1))}}])),
                          ("any", lambda: r.choice([{}, {"a": 1}, {"a": {"b": r.randint(0, 1)}}, {"a": {"c": [r.randint(0, 1)]}, "d": {}}, {"d": {"e": "f"}}]))):
            if r.random() < 0.4:
                spec[key] = make()
        found = {"spec": spec} if spec or r.random() < 0.8 else {}
        if r.random() < 0.4:
            found["metadata"] = {"labels": {k: "1" for k in pick(str, 2)}}
        return found

    steps = []
    for i in range(r.randint(3, 6)):
        op = "apply" if i == 0 or r.random() < 0.75 else "merge"
        steps.append((op, r.choice("mno"), body(), {"force": op == "apply" and r.random() < 0.6}))
    return f"random-{n}", "Widget", steps


def random_patches(r, n):
    """Strategic merge patches of a Deployment that stays valid."""
    def env():
        names = r.sample(["A", "B", "C"], r.randint(0, 3))
        found = [{"name": e, "value": str(r.randint(0, 2))} for e in names]
        for e in found:
            if r.random() < 0.25:
                e.pop("value", None)
                e["$patch"] = "delete"
        return found + ([{"$patch": "replace"}] if r.random() < 0.1 else [])

    def container(name):
        found = {"name": name, "image": f"{name}:{r.randint(1, 3)}"}
        if r.random() < 0.5:
            found["env"] = env()
        if r.random() < 0.2:
            found["args"] = r.choice([None, ["x"], ["y", "z"]])
        if r.random() < 0.2:
            found["$setElementOrder/env"] = [{"name": e} for e in r.sample(["A", "B", "C"], 3)]
        return found

    def patch():
        names = r.sample(["a", "b", "c", "d"], r.randint(0, 3))
        pod = {"containers": [container(name) for name in names]}
        if r.random() < 0.3:
            order = r.sample(["a", "b", "c", "d"], r.randint(1, 4))
            pod["$setElementOrder/containers"] = [{"name": e} for e in order]
        if r.random() < 0.3:
            pod["containers"].insert(r.randint(0, len(names)), {"name": r.choice("bcd"), "$patch": "delete"})
        if r.random() < 0.3:
            pod["nodeSelector"] = r.choice([None, {"x": "1"}, {"x": None, "y": "2"}, {"$patch": "replace", "z": "3"}, {"$patch": "delete"}])
        if not pod["containers"]:
            del pod["containers"]
        found = {"spec": {"template": {"spec": pod}}}
        if r.random() < 0.3:
            found["metadata"] = {"labels": r.choice([{"l": "1"}, {"l": None, "m": "2"}, {"$retainKeys": ["m"], "m": "3"}, None]),
                                 "finalizers": r.choice([["x.io/a"], ["x.io/b", "x.io/a"], ["x.io/c"]])}
        if r.random() < 0.1:
            found.setdefault("metadata", {})["$deleteFromPrimitiveList/finalizers"] = ["x.io/a"]
        return found

    steps = [("create", "c", deploy([{"name": e, "image": e} for e in r.sample(["a", "b", "c"], 2)]))]
    steps += [("smp", "s", patch()) for _ in range(r.randint(3, 6))]
    # A finalizer would keep the object for ever.
    steps.append(("merge", "s", {"metadata": {"finalizers": None}}))
    return f"patches-{n}", "Deployment", steps


def main():
    status, answer = call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    for _ in range(50):
        if call("GET", TYPES["Widget"][0])[0] == 200:
            break
        time.sleep(0.2)
    scenarios = SCENARIOS
    if len(sys.argv) > 4:
        r = random.Random(int(sys.argv[3]))
        scenarios = [r.choice([random_scenario, random_patches])(r, n) for n in range(int(sys.argv[4]))]
    with open(OUT, "w") as out:
        from concurrent.futures import ThreadPoolExecutor
        out.write(json.dumps({"version": call("GET", "/version")[1]["gitVersion"], "widget": WIDGET}, sort_keys=True) + "\n")
        with ThreadPoolExecutor(16) as pool:
            for done in pool.map(lambda s: run(*s), scenarios):
                out.write(json.dumps(done, sort_keys=True, separators=(",", ":")) + "\n")


main()
