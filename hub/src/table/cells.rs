//! Cells of built-in kinds.
//!
//! Owns what each recorded column shows, as the peer's printers compute it. Start at [`cell`].

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use crate::registry::Kind;

/// The value of one column.
pub(crate) fn cell(kind: &Kind, column: &str, object: &Value, now: Timestamp) -> Value {
    match column {
        "Name" => return object["metadata"]["name"].clone(),
        "Age" | "Created At" => {
            let stamp = object["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
            return if column == "Created At" { stamp.into() } else { age(stamp, now).into() };
        }
        _ => {}
    }
    own_cell(kind, column, object, now).unwrap_or_else(|| "<none>".into())
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn size(value: &Value) -> i64 {
    let n = value.as_object().map(|m| m.len()).or(value.as_array().map(Vec::len)).unwrap_or(0);
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn text(value: &Value) -> Option<Value> {
    value.as_str().filter(|t| !t.is_empty()).map(Into::into)
}

#[expect(clippy::too_many_lines, reason = "one arm per column, as kubectl names them")]
fn own_cell(kind: &Kind, column: &str, o: &Value, now: Timestamp) -> Option<Value> {
    let (spec, status) = (&o["spec"], &o["status"]);
    let since = |v: &Value| v.as_str().map(|s| Value::from(age(s, now)));
    Some(match (&*kind.resource, column) {
        ("/configmaps", "Data") => (size(&o["data"]) + size(&o["binaryData"])).into(),
        ("/secrets", "Data") => size(&o["data"]).into(),
        ("/secrets", "Type") => text(&o["type"])?,
        ("/serviceaccounts", "Secrets") => size(&o["secrets"]).into(),
        ("/namespaces", "Status") => text(&status["phase"])?,
        ("/services", _) => return service(column, o),
        ("/pods", _) => return pod(column, o),
        ("/events", _) => return event(column, o, now),
        ("/nodes", _) => return node(column, o),
        ("apps/deployments", "Ready") => ready_of(status, spec).into(),
        ("apps/deployments", "Up-to-date") => count(&status["updatedReplicas"]).into(),
        ("apps/deployments", "Available") => count(&status["availableReplicas"]).into(),
        ("apps/statefulsets", "Ready") => ready_of(status, spec).into(),
        ("apps/replicasets", "Desired") => count(&spec["replicas"]).into(),
        ("apps/replicasets", "Current") => count(&status["replicas"]).into(),
        ("apps/replicasets", "Ready") => count(&status["readyReplicas"]).into(),
        ("apps/daemonsets", "Desired") => count(&status["desiredNumberScheduled"]).into(),
        ("apps/daemonsets", "Current") => count(&status["currentNumberScheduled"]).into(),
        ("apps/daemonsets", "Ready") => count(&status["numberReady"]).into(),
        ("apps/daemonsets", "Up-to-date") => count(&status["updatedNumberScheduled"]).into(),
        ("apps/daemonsets", "Available") => count(&status["numberAvailable"]).into(),
        ("apps/daemonsets", "Node Selector") => pairs(&spec["template"]["spec"]["nodeSelector"])?,
        (r, "Containers" | "Images" | "Selector")
            if r.starts_with("apps/") || r == "batch/jobs" =>
        {
            return workload(column, spec);
        }
        ("batch/cronjobs", "Containers" | "Images" | "Selector") => {
            return workload(column, &spec["jobTemplate"]["spec"]);
        }
        ("discovery.k8s.io/endpointslices", _) => return endpoint_slice(column, o),
        ("batch/jobs", "Status") => job_status(status).into(),
        ("batch/jobs", "Completions") => {
            format!("{}/{}", count(&status["succeeded"]), spec["completions"].as_i64().unwrap_or(1))
                .into()
        }
        ("batch/jobs", "Duration") => since(&status["startTime"]).unwrap_or_else(|| "".into()),
        ("batch/cronjobs", "Schedule") => text(&spec["schedule"])?,
        ("batch/cronjobs", "Timezone") => text(&spec["timeZone"])?,
        ("batch/cronjobs", "Suspend") => go_bool(&spec["suspend"]),
        ("batch/cronjobs", "Active") => size(&status["active"]).into(),
        ("batch/cronjobs", "Last Schedule") => since(&status["lastScheduleTime"])?,
        ("networking.k8s.io/ingresses", _) => return ingress(column, spec, status),
        ("networking.k8s.io/networkpolicies", "Pod-Selector") => {
            pairs(&spec["podSelector"]["matchLabels"])?
        }
        ("networking.k8s.io/ingressclasses", "Controller") => text(&spec["controller"])?,
        (
            "rbac.authorization.k8s.io/rolebindings"
            | "rbac.authorization.k8s.io/clusterrolebindings",
            _,
        ) => {
            return binding(column, o);
        }
        ("coordination.k8s.io/leases", "Holder") => {
            spec["holderIdentity"].as_str().unwrap_or("").into()
        }
        ("/persistentvolumeclaims", _) => return claim(column, spec, status),
        ("storage.k8s.io/storageclasses", "Provisioner") => text(&o["provisioner"])?,
        ("storage.k8s.io/storageclasses", "ReclaimPolicy") => text(&o["reclaimPolicy"])?,
        ("storage.k8s.io/storageclasses", "VolumeBindingMode") => text(&o["volumeBindingMode"])?,
        ("storage.k8s.io/storageclasses", "AllowVolumeExpansion") => {
            Value::Bool(o["allowVolumeExpansion"] == true)
        }
        ("scheduling.k8s.io/priorityclasses", "Value") => o["value"].clone(),
        ("scheduling.k8s.io/priorityclasses", "Global-Default") => {
            (o["globalDefault"] == true).into()
        }
        ("scheduling.k8s.io/priorityclasses", "PreemptionPolicy") => text(&o["preemptionPolicy"])?,
        ("policy/poddisruptionbudgets", "Min Available") => {
            scalar(&spec["minAvailable"]).unwrap_or_else(|| "N/A".into())
        }
        ("policy/poddisruptionbudgets", "Max Unavailable") => {
            scalar(&spec["maxUnavailable"]).unwrap_or_else(|| "N/A".into())
        }
        ("policy/poddisruptionbudgets", "Allowed Disruptions") => {
            count(&status["disruptionsAllowed"]).into()
        }
        (_, "Webhooks") => size(&o["webhooks"]).into(),
        _ => return None,
    })
}

fn scalar(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(n) => Some(n.to_string().into()),
        _ => None,
    }
}

fn go_bool(value: &Value) -> Value {
    if *value == true { "True".into() } else { "False".into() }
}

fn ready_of(status: &Value, spec: &Value) -> String {
    format!("{}/{}", count(&status["readyReplicas"]), count(&spec["replicas"]))
}

fn node(column: &str, o: &Value) -> Option<Value> {
    let (spec, status) = (&o["spec"], &o["status"]);
    let info = |field: &str| text(&status["nodeInfo"][field]);
    let address = |kind: &str| {
        let all = status["addresses"].as_array().into_iter().flatten();
        text(&all.into_iter().find(|a| a["type"] == kind)?["address"])
    };
    match column {
        "Status" => {
            let all = status["conditions"].as_array().into_iter().flatten();
            let ready = all.into_iter().find(|c| c["type"] == "Ready").map(|c| &c["status"]);
            let state = match ready.and_then(Value::as_str) {
                Some("True") => "Ready",
                Some(_) => "NotReady",
                None => "Unknown",
            };
            let rest = if spec["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
            Some(format!("{state}{rest}").into())
        }
        "Roles" => {
            let labels = o["metadata"]["labels"].as_object().into_iter().flatten();
            let roles = labels.filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/"));
            let roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
            (!roles.is_empty()).then(|| roles.join(",").into())
        }
        "Version" => Some(info("kubeletVersion").unwrap_or_else(|| "".into())),
        "Internal-IP" => address("InternalIP"),
        "External-IP" => address("ExternalIP"),
        "OS-Image" => info("osImage").or_else(|| Some("<unknown>".into())),
        "Kernel-Version" => info("kernelVersion").or_else(|| Some("<unknown>".into())),
        "Container-Runtime" => info("containerRuntimeVersion").or_else(|| Some("<unknown>".into())),
        _ => None,
    }
}

fn pairs(labels: &Value) -> Option<Value> {
    let rows = labels.as_object().filter(|m| !m.is_empty())?;
    let rows: Vec<String> =
        rows.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    Some(rows.join(",").into())
}

fn workload(column: &str, spec: &Value) -> Option<Value> {
    let containers = || spec["template"]["spec"]["containers"].as_array().into_iter().flatten();
    let joined = |field: &str| {
        let names: Vec<&str> = containers().filter_map(|c| c[field].as_str()).collect();
        Value::from(names.join(","))
    };
    match column {
        "Containers" => Some(joined("name")),
        "Images" => Some(joined("image")),
        _ => pairs(&spec["selector"]["matchLabels"]),
    }
}

fn endpoint_slice(column: &str, o: &Value) -> Option<Value> {
    /// Of a long list the peer shows the first three.
    const SHOWN: usize = 3;
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let short = |texts: Vec<String>, unset: &str| -> Value {
        let more = texts.len().saturating_sub(SHOWN);
        let shown = texts[..texts.len() - more].join(",");
        match (shown.is_empty(), more) {
            (true, _) => unset.into(),
            (_, 0) => shown.into(),
            (_, more) => format!("{shown} + {more} more...").into(),
        }
    };
    match column {
        "AddressType" => text(&o["addressType"]),
        "Ports" => {
            let ports = items(&o["ports"]);
            let numbers = ports.iter().map(|p| p["port"].to_string()).collect();
            Some(short(numbers, "<unset>"))
        }
        "Endpoints" => {
            let endpoints = items(&o["endpoints"]);
            let addresses = endpoints.iter().flat_map(|e| items(&e["addresses"]));
            let texts = addresses.filter_map(|a| a.as_str().map(str::to_owned)).collect();
            Some(short(texts, "<unset>"))
        }
        _ => None,
    }
}

fn job_status(status: &Value) -> &'static str {
    let has = |type_: &str| {
        let rows = status["conditions"].as_array().into_iter().flatten();
        rows.into_iter().any(|c| c["type"] == type_ && c["status"] == "True")
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if has("Suspended") {
        "Suspended"
    } else {
        "Running"
    }
}

fn service(column: &str, o: &Value) -> Option<Value> {
    let spec = &o["spec"];
    match column {
        "Type" => text(&spec["type"]),
        "Cluster-IP" => text(&spec["clusterIP"]),
        "External-IP" => {
            let addresses = o["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
            let addresses: Vec<&str> =
                addresses.filter_map(|a| a["ip"].as_str().or(a["hostname"].as_str())).collect();
            match spec["type"].as_str() {
                Some("LoadBalancer") if addresses.is_empty() => Some("<pending>".into()),
                Some("LoadBalancer") => Some(addresses.join(",").into()),
                Some("ExternalName") => text(&spec["externalName"]),
                _ => None,
            }
        }
        "Port(s)" => {
            let ports = spec["ports"].as_array().filter(|p| !p.is_empty())?;
            let ports: Vec<String> = ports
                .iter()
                .map(|p| {
                    let node = p["nodePort"].as_i64().map_or_else(String::new, |n| format!(":{n}"));
                    format!(
                        "{}{node}/{}",
                        count(&p["port"]),
                        p["protocol"].as_str().unwrap_or("TCP")
                    )
                })
                .collect();
            Some(ports.join(",").into())
        }
        "Selector" => pairs(&spec["selector"]),
        _ => None,
    }
}

fn pod(column: &str, o: &Value) -> Option<Value> {
    let (spec, status) = (&o["spec"], &o["status"]);
    let states = || status["containerStatuses"].as_array().into_iter().flatten();
    match column {
        "Ready" => {
            let ready = states().filter(|c| c["ready"] == true).count();
            Some(format!("{ready}/{}", size(&spec["containers"])).into())
        }
        "Status" => {
            if !o["metadata"]["deletionTimestamp"].is_null() {
                return Some("Terminating".into());
            }
            let waiting = states().find_map(|c| {
                c["state"]["waiting"]["reason"]
                    .as_str()
                    .or(c["state"]["terminated"]["reason"].as_str())
            });
            waiting.or(status["reason"].as_str()).or(status["phase"].as_str()).map(Into::into)
        }
        "Restarts" => {
            let restarts: i64 = states().map(|c| count(&c["restartCount"])).sum();
            Some(restarts.to_string().into())
        }
        "IP" => text(&status["podIP"]),
        "Node" => text(&spec["nodeName"]),
        "Nominated Node" => text(&status["nominatedNodeName"]),
        _ => None,
    }
}

fn event(column: &str, o: &Value, now: Timestamp) -> Option<Value> {
    let about = if o["regarding"].is_object() { &o["regarding"] } else { &o["involvedObject"] };
    let last = [
        &o["lastTimestamp"],
        &o["deprecatedLastTimestamp"],
        &o["series"]["lastObservedTime"],
        &o["eventTime"],
    ];
    let first = [&o["firstTimestamp"], &o["deprecatedFirstTimestamp"], &o["eventTime"]];
    let when = |stamps: &[&Value]| {
        let stamp = stamps.iter().find_map(|s| s.as_str());
        Some(stamp.map_or_else(|| "<unknown>".to_owned(), |s| age(s, now)).into())
    };
    match column {
        "Last Seen" => when(&last),
        "First Seen" => when(&first),
        "Type" => text(&o["type"]),
        "Reason" => text(&o["reason"]),
        "Object" => {
            let kind = about["kind"].as_str().unwrap_or_default().to_lowercase();
            Some(format!("{kind}/{}", about["name"].as_str().unwrap_or_default()).into())
        }
        "Message" => {
            let message = o["message"].as_str().or(o["note"].as_str()).unwrap_or_default();
            Some(message.trim().into())
        }
        "Subobject" => Some(about["fieldPath"].as_str().unwrap_or_default().into()),
        "Source" => {
            let source =
                o["source"]["component"].as_str().or(o["deprecatedSource"]["component"].as_str());
            let reporting = o["reportingComponent"].as_str().or(o["reportingController"].as_str());
            Some(source.or(reporting).unwrap_or_default().into())
        }
        "Count" => {
            let n = o["series"]["count"]
                .as_i64()
                .or(o["count"].as_i64())
                .or(o["deprecatedCount"].as_i64());
            Some(n.unwrap_or(1).into())
        }
        _ => None,
    }
}

fn ingress(column: &str, spec: &Value, status: &Value) -> Option<Value> {
    match column {
        "Class" => text(&spec["ingressClassName"]),
        "Hosts" => {
            let hosts = spec["rules"].as_array().into_iter().flatten();
            let hosts: Vec<&str> = hosts.filter_map(|r| r["host"].as_str()).collect();
            Some(if hosts.is_empty() { "*".into() } else { hosts.join(",").into() })
        }
        "Address" => {
            let addresses = status["loadBalancer"]["ingress"].as_array().into_iter().flatten();
            let addresses: Vec<&str> =
                addresses.filter_map(|a| a["ip"].as_str().or(a["hostname"].as_str())).collect();
            Some(addresses.join(",").into())
        }
        "Ports" => Some(if spec["tls"].is_array() { "80, 443".into() } else { "80".into() }),
        _ => None,
    }
}

fn binding(column: &str, o: &Value) -> Option<Value> {
    let subjects = |kind: &str| {
        let rows = o["subjects"].as_array().into_iter().flatten().filter(|s| s["kind"] == kind);
        let names: Vec<String> = rows
            .map(|s| {
                let name = s["name"].as_str().unwrap_or_default();
                match s["namespace"].as_str().filter(|_| kind == "ServiceAccount") {
                    Some(namespace) => format!("{namespace}/{name}"),
                    None => name.to_owned(),
                }
            })
            .collect();
        Value::from(names.join(", "))
    };
    match column {
        "Role" => {
            let role = &o["roleRef"];
            let (kind, name) = (
                role["kind"].as_str().unwrap_or_default(),
                role["name"].as_str().unwrap_or_default(),
            );
            Some(format!("{kind}/{name}").into())
        }
        "Users" => Some(subjects("User")),
        "Groups" => Some(subjects("Group")),
        "ServiceAccounts" => Some(subjects("ServiceAccount")),
        _ => None,
    }
}

fn claim(column: &str, spec: &Value, status: &Value) -> Option<Value> {
    let modes = || {
        let rows = status["accessModes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let short = rows.map(|m| match m {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            other => other,
        });
        short.collect::<Vec<_>>().join(",")
    };
    let own = |v: &Value| Some(v.as_str().unwrap_or_default().into());
    match column {
        "Status" => text(&status["phase"]),
        "Volume" => own(&spec["volumeName"]),
        "Capacity" => own(&status["capacity"]["storage"]),
        "Access Modes" => Some(modes().into()),
        "StorageClass" => own(&spec["storageClassName"]),
        "VolumeMode" => text(&spec["volumeMode"]),
        "VolumeAttributesClass" => Some("<unset>".into()),
        _ => None,
    }
}
