//! The objects an agent consists of, for the Bundle that deploys it and for the hub's own install.
//!
//! Owns their exact form. Knows nothing of clients. Start at [`agent_objects`].

use std::collections::BTreeMap;

use bundle_format::api::{Cluster, GoDuration, labels, names};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::config::{AgentProcess, ApiServer, HubConfig};

/// What the agent of one cluster depends on.
pub struct AgentPlan<'a> {
    /// The Cluster.
    pub cluster: &'a Cluster,
    /// Settings of the hub.
    pub hub: &'a HubConfig,
    /// Environment of agents.
    pub process: &'a AgentProcess,
    /// Namespace of the hub's processes, the agent's default.
    pub system_namespace: &'a str,
}

/// The image of agents when the ConfigMap names none.
const DEFAULT_IMAGE: &str = "flotilla/fleet:dev";

impl AgentPlan<'_> {
    /// The namespace of the agent.
    pub fn namespace(&self) -> &str {
        match self.cluster.spec.agent_namespace.as_str() {
            "" => self.system_namespace,
            namespace => namespace,
        }
    }

    /// What tells this agent's releases from those of another agent of the same cluster.
    pub fn scope(&self) -> &str {
        &self.cluster.spec.agent_namespace
    }

    /// The id of the set of objects the agent consists of.
    pub fn set_id(&self) -> String {
        names::object_set(labels::AGENT_NAME, self.scope())
    }

    /// The agent's image, with the registry it is pulled from in front.
    fn image(&self) -> String {
        let image = match self.hub.agent_image.as_str() {
            "" => DEFAULT_IMAGE,
            image => image,
        };
        match self.cluster.spec.private_repo_url.trim_end_matches('/') {
            "" => image.to_owned(),
            registry => format!("{registry}/{}", without_registry(image)),
        }
    }

    /// Names of pull Secrets: the cluster's own if it names any, even none; else the hub's.
    pub fn pull_secrets(&self) -> Vec<String> {
        match &self.cluster.spec.agent_pull_secrets {
            Some(own) => own.iter().map(|secret| secret.name.clone()).collect(),
            None => self.hub.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
        }
    }

    /// The text of key `config` of the agent's ConfigMap.
    pub fn agent_config(&self) -> String {
        let labels: BTreeMap<&String, &String> = self
            .cluster
            .metadata
            .labels
            .iter()
            .flatten()
            .filter(|(key, _)| !labels::is_cattle_key(key))
            .collect();
        let interval = GoDuration::from_std(self.hub.gc_interval()).0;
        json!({
            "labels": labels,
            "clientID": self.cluster.spec.client_id,
            "agentTLSMode": self.hub.tls_mode(),
            "garbageCollectionInterval": interval,
        })
        .to_string()
    }
}

/// An image reference without its registry, if it has one.
fn without_registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => image,
    }
}

/// The files of the Bundle that deploys the agent: one, `agent.yaml`.
pub fn agent_yaml(plan: &AgentPlan<'_>) -> String {
    agent_objects(plan)
        .iter()
        .map(|object| serde_yaml::to_string(object).expect("a JSON value is always YAML"))
        .collect::<Vec<_>>()
        .join("---\n")
}

/// The objects an agent consists of, without the Secret it registers with.
pub fn agent_objects(plan: &AgentPlan<'_>) -> Vec<Value> {
    let namespace = plan.namespace();
    let role = format!("{namespace}-fleet-agent-role");
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": labels::AGENT_NAME, "namespace": namespace },
        }),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "default", "namespace": namespace },
            "automountServiceAccountToken": false,
        }),
        // An agent deploys whatever a bundle holds: on its own cluster it may do everything.
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": role },
            "rules": [
                { "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] },
                { "nonResourceURLs": ["*"], "verbs": ["*"] },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("{role}-binding") },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
            },
            "subjects": [{
                "kind": "ServiceAccount", "name": labels::AGENT_NAME, "namespace": namespace,
            }],
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "default-allow-all", "namespace": namespace },
            "spec": {
                "podSelector": {}, "ingress": [{}], "egress": [{}],
                "policyTypes": ["Ingress", "Egress"],
            },
        }),
    ];
    objects.extend(scheduling_objects(plan));
    objects.push(deployment(plan));
    objects
}

/// PriorityClass and PodDisruptionBudget, where the Cluster asks for them.
fn scheduling_objects(plan: &AgentPlan<'_>) -> Vec<Value> {
    let Some(wanted) = &plan.cluster.spec.agent_scheduling_customization else { return vec![] };
    let mut objects = Vec::new();
    if let Some(class) = &wanted.priority_class {
        let mut object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": { "name": PRIORITY_CLASS },
            "value": class.value,
            "description": "Priority class for the Fleet agent",
        });
        if !class.preemption_policy.is_empty() {
            object["preemptionPolicy"] = json!(class.preemption_policy);
        }
        objects.push(object);
    }
    if let Some(budget) = &wanted.pod_disruption_budget {
        let mut spec = json!({ "selector": { "matchLabels": { "app": labels::AGENT_NAME } } });
        // The API accepts one of the two; the number that must stay wins.
        if !matches!(budget.min_available.as_str(), "" | "0") {
            spec["minAvailable"] = int_or_percent(&budget.min_available);
        } else if !matches!(budget.max_unavailable.as_str(), "" | "0") {
            spec["maxUnavailable"] = int_or_percent(&budget.max_unavailable);
        }
        objects.push(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {
                "name": "fleet-agent-pod-disruption-budget", "namespace": plan.namespace(),
            },
            "spec": spec,
        }));
    }
    objects
}

const PRIORITY_CLASS: &str = "fleet-agent-priority-class";

fn int_or_percent(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

fn deployment(plan: &AgentPlan<'_>) -> Value {
    let spec = &plan.cluster.spec;
    let mut pod = json!({
        "serviceAccountName": labels::AGENT_NAME,
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "tolerations": tolerations(plan),
        "affinity": spec.agent_affinity.as_ref().map_or_else(default_affinity, |own| json!(own)),
        "containers": [container(plan)],
        "volumes": [{ "name": "kube", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }],
    });
    if !plan.process.disable_security_context {
        pod["securityContext"] =
            json!({ "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000 });
    }
    let pull_secrets = plan.pull_secrets();
    if !pull_secrets.is_empty() {
        let names = pull_secrets.iter().map(|name| json!({ "name": name }));
        pod["imagePullSecrets"] = names.collect();
    }
    let scheduling = spec.agent_scheduling_customization.as_ref();
    if scheduling.is_some_and(|wanted| wanted.priority_class.is_some()) {
        pod["priorityClassName"] = json!(PRIORITY_CLASS);
    }
    let mut deployment = json!({
        "replicas": plan.process.replicas,
        "selector": { "matchLabels": { "app": labels::AGENT_NAME } },
    });
    if spec.host_network == Some(true) {
        pod["hostNetwork"] = json!(true);
        // Two pods cannot share the node's ports.
        deployment["strategy"] = json!({ "type": "Recreate" });
    }
    deployment["template"] =
        json!({ "metadata": { "labels": { "app": labels::AGENT_NAME } }, "spec": pod });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": labels::AGENT_NAME, "namespace": plan.namespace() },
        "spec": deployment,
    })
}

fn tolerations(plan: &AgentPlan<'_>) -> Value {
    let usual = [
        ("node.cloudprovider.kubernetes.io/uninitialized", "true"),
        ("cattle.io/os", "linux"),
    ]
    .map(|(key, value)| {
        json!({ "key": key, "operator": "Equal", "value": value, "effect": "NoSchedule" })
    });
    let own = plan.cluster.spec.agent_tolerations.iter().map(|own| json!(own));
    let mut all = usual.to_vec();
    for toleration in own {
        if !all.contains(&toleration) {
            all.push(toleration);
        }
    }
    Value::Array(all)
}

fn default_affinity() -> Value {
    json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 1,
        "preference": { "matchExpressions": [{
            "key": labels::AGENT_NODE, "operator": "In", "values": ["true"],
        }] },
    }] } })
}

fn container(plan: &AgentPlan<'_>) -> Value {
    let mut command = vec!["fleet".to_owned(), "agent".to_owned()];
    if let Some(level) = plan.process.debug_level {
        command.extend(["--debug".into(), "--debug-level".into(), level.to_string()]);
    }
    let pull_policy = match plan.hub.agent_image_pull_policy.as_str() {
        "" => "IfNotPresent",
        policy => policy,
    };
    let mut container = json!({
        "name": labels::AGENT_NAME,
        "image": plan.image(),
        "imagePullPolicy": pull_policy,
        "command": command,
        "env": environment(plan),
        "volumeMounts": [
            { "name": "kube", "mountPath": "/.kube" },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
    });
    if let Some(resources) = &plan.cluster.spec.agent_resources {
        container["resources"] = json!(resources);
    }
    if !plan.process.disable_security_context {
        container["securityContext"] = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "privileged": false, "capabilities": { "drop": ["ALL"] },
        });
    }
    container
}

fn environment(plan: &AgentPlan<'_>) -> Value {
    let workers = |count: &Value| match count {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "50".to_owned(),
    };
    let own_namespace = json!({ "fieldRef": { "fieldPath": "metadata.namespace" } });
    // The holder of the agent's lease, by which a restarted agent knows its own.
    let own_name = json!({ "fieldRef": { "fieldPath": "metadata.name" } });
    let [lease, renew, retry] = &plan.process.election;
    let text = |name: &str, value: &str| json!({ "name": name, "value": value });
    let mut env = vec![
        text(
            "BUNDLEDEPLOYMENT_RECONCILER_WORKERS",
            &workers(&plan.hub.agent_workers.bundledeployment),
        ),
        text("DRIFT_RECONCILER_WORKERS", &workers(&plan.hub.agent_workers.drift)),
        json!({ "name": "NAMESPACE", "valueFrom": own_namespace }),
        json!({ "name": "POD_NAME", "valueFrom": own_name }),
        text("AGENT_SCOPE", plan.scope()),
        text("CHECKIN_INTERVAL", &GoDuration::from_std(plan.hub.checkin_interval()).0),
        text("CATTLE_ELECTION_LEASE_DURATION", lease),
        text("CATTLE_ELECTION_RETRY_PERIOD", retry),
        text("CATTLE_ELECTION_RENEW_DEADLINE", renew),
    ];
    env.extend(plan.cluster.spec.agent_env_vars.iter().map(|own| json!(own)));
    Value::Array(env)
}

/// The Bundle that deploys the agent of a cluster.
pub fn agent_bundle(plan: &AgentPlan<'_>) -> Value {
    let cluster = plan.cluster;
    json!({
        "apiVersion": labels::API_VERSION, "kind": "Bundle",
        "metadata": {
            "name": names::agent_bundle(&cluster.name_any()),
            "namespace": cluster.namespace(),
            // Set here, the first pass over the Bundle need not write it.
            "finalizers": [labels::BUNDLE_FINALIZER],
            "annotations": { labels::OBJECT_SET_ID: labels::MANAGE_AGENT_SET_ID },
            "labels": {
                labels::OBJECT_SET_HASH: names::object_set_hash(labels::MANAGE_AGENT_SET_ID),
            },
        },
        "spec": {
            "defaultNamespace": plan.namespace(),
            "helm": { "takeOwnership": true },
            "resources": [{ "name": "agent.yaml", "content": agent_yaml(plan) }],
            "targets": [{
                "clusterName": cluster.name_any(),
                "clusterSelector": { "matchExpressions": [{
                    "key": labels::NON_MANAGED_AGENT, "operator": "DoesNotExist",
                }] },
            }],
        },
    })
}

/// The Secret and the ConfigMap with which a new agent registers itself.
pub fn bootstrap_objects(
    plan: &AgentPlan<'_>,
    server: &ApiServer,
    registration_namespace: &str,
    token: (&str, &str),
) -> [Value; 3] {
    let namespace = plan.namespace();
    let (token_name, token) = token;
    [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": labels::AGENT_BOOTSTRAP_NAME, "namespace": namespace },
            "data": encoded(&[
                ("systemRegistrationNamespace", registration_namespace),
                ("clusterNamespace", &plan.cluster.namespace().unwrap_or_default()),
                ("token", token),
                ("tokenName", token_name),
                ("apiServerURL", &server.url),
                ("apiServerCA", &server.ca),
            ]),
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": labels::AGENT_NAME, "namespace": namespace },
            "data": { labels::CONFIG_KEY: plan.agent_config() },
        }),
    ]
}

/// The `data` of a Secret.
pub fn encoded(entries: &[(&str, &str)]) -> Value {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    entries.iter().map(|(key, value)| (key.to_string(), json!(engine.encode(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        cluster.metadata.name = Some("edge".into());
        cluster.metadata.namespace = Some("clusters".into());
        cluster
    }

    fn cluster_with(spec: Value) -> Cluster {
        Cluster { spec: serde_json::from_value(spec).unwrap(), ..cluster() }
    }

    fn objects_of(cluster: &Cluster, hub: &HubConfig, process: &AgentProcess) -> Vec<Value> {
        agent_objects(&AgentPlan { cluster, hub, process, system_namespace: "sys" })
    }

    fn deployment_of(cluster: &Cluster, hub: &HubConfig) -> Value {
        objects_of(cluster, hub, &AgentProcess::default()).pop().unwrap()
    }

    #[test]
    fn pull_secrets_are_those_of_the_hub_unless_the_cluster_names_its_own() {
        let hub = json!({"imagePullSecrets": [{"name": "common"}]});
        let hub: HubConfig = serde_json::from_value(hub).unwrap();
        for (spec, wanted) in [
            (json!({}), json!([{"name": "common"}])),
            (json!({"agentPullSecrets": [{"name": "own"}]}), json!([{"name": "own"}])),
            (json!({"agentPullSecrets": []}), Value::Null),
        ] {
            let deployment = deployment_of(&cluster_with(spec), &hub);
            assert_eq!(deployment["spec"]["template"]["spec"]["imagePullSecrets"], wanted);
        }
    }

    #[test]
    fn the_settings_of_a_cluster_reach_its_agent() {
        let variable = json!({"name": "MORE", "value": "yes"});
        let toleration = json!({"key": "edge", "operator": "Exists", "effect": "NoSchedule"});
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]}}});
        let resources = json!({"limits": {"memory": "64Mi"}});
        let cluster = cluster_with(json!({
            "agentEnvVars": [variable], "agentTolerations": [toleration],
            "agentAffinity": affinity, "agentResources": resources, "hostNetwork": true,
        }));
        let deployment = deployment_of(&cluster, &HubConfig::default());
        assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["hostNetwork"], true);
        assert_eq!(pod["affinity"], affinity);
        assert!(pod["tolerations"].as_array().unwrap().contains(&toleration));
        let container = &pod["containers"][0];
        assert_eq!(container["resources"], resources);
        assert!(container["env"].as_array().unwrap().contains(&variable));
    }

    #[test]
    fn priority_and_disruption_budget_are_made_where_they_are_asked_for() {
        let cluster = cluster_with(json!({"agentSchedulingCustomization": {
            "priorityClass": {"value": 1000, "preemptionPolicy": "Never"},
            "podDisruptionBudget": {"minAvailable": "1", "maxUnavailable": "50%"},
        }}));
        let objects = objects_of(&cluster, &HubConfig::default(), &AgentProcess::default());
        let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
        let class = of("PriorityClass");
        assert_eq!((&class["value"], &class["preemptionPolicy"]), (&json!(1000), &json!("Never")));
        let pod = &of("Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["priorityClassName"], class["metadata"]["name"]);
        let budget = &of("PodDisruptionBudget")["spec"];
        assert_eq!((&budget["minAvailable"], &budget["maxUnavailable"]), (&json!(1), &Value::Null));
        let usual =
            objects_of(&cluster_with(json!({})), &HubConfig::default(), &AgentProcess::default());
        let is_scheduling = |object: &Value| {
            object["kind"] == "PriorityClass" || object["kind"] == "PodDisruptionBudget"
        };
        assert!(!usual.iter().any(is_scheduling), "nobody asked");
    }

    #[test]
    fn debug_settings_reach_the_agents_command() {
        let process = AgentProcess { debug_level: Some(3), ..AgentProcess::default() };
        let mut objects = objects_of(&cluster(), &HubConfig::default(), &process);
        let deployment = objects.pop().unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            container["command"],
            json!(["fleet", "agent", "--debug", "--debug-level", "3"])
        );
    }

    #[test]
    fn the_agent_is_started_by_an_explicit_command() {
        let deployment = deployment_of(&cluster(), &HubConfig::default());
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["fleet", "agent"]));
        assert!(!container["image"].as_str().unwrap().contains("rancher"));
    }

    #[test]
    fn a_private_registry_replaces_the_images_own() {
        let mut cluster = cluster();
        cluster.spec.private_repo_url = "registry.example:5000".into();
        for image in ["docker.io/acme/fleet:1", "acme/fleet:1"] {
            let hub = HubConfig { agent_image: image.into(), ..Default::default() };
            let deployment = deployment_of(&cluster, &hub);
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            assert_eq!(container["image"], "registry.example:5000/acme/fleet:1");
        }
    }

    #[test]
    fn a_toleration_that_is_usual_is_not_repeated() {
        let mut cluster = cluster();
        let os = json!({
            "key": "cattle.io/os", "operator": "Equal", "value": "linux", "effect": "NoSchedule",
        });
        cluster.spec.agent_tolerations = vec![serde_json::from_value(os).unwrap()];
        let deployment = deployment_of(&cluster, &HubConfig::default());
        let tolerations = &deployment["spec"]["template"]["spec"]["tolerations"];
        assert_eq!(tolerations.as_array().unwrap().len(), 2);
    }
}
