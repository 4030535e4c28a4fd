//! ClusterRegistrationToken and ClusterRegistration: how a cluster joins.
//!
//! Owns the fields of both kinds. Start at [`ClusterRegistrationTokenSpec`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::condition::Condition;
use super::wire::GoDuration;

go_struct! {
    /// Asks for a token with which agents may register.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "ClusterRegistrationToken",
        namespaced,
        status = "ClusterRegistrationTokenStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Secret-Name", type_ = "string", json_path = ".status.secretName")
    )]
    pub struct ClusterRegistrationTokenSpec {
        /// How long the token lives; for ever when unset or 0.
        pub ttl: Option<GoDuration>,
    }
}

go_struct! {
    /// The token.
    pub struct ClusterRegistrationTokenStatus {
        /// When the token goes away.
        #[schemars(with = "Time")]
        pub expires: Option<Time>,
        /// Name of the Secret with the values for the agent's chart.
        #[schemars(with = "Option<String>")]
        pub secret_name: String,
        /// `Ready`: whether agents can register with it. (Fleet 0.16 has no conditions here.)
        pub conditions: Vec<Condition>,
    }
}

go_struct! {
    /// An agent's request to join.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "ClusterRegistration", namespaced,
        status = "ClusterRegistrationStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Cluster-Name", type_ = "string", json_path = ".status.clusterName"),
        printcolumn(name = "Labels", type_ = "string", json_path = ".spec.clusterLabels")
    )]
    pub struct ClusterRegistrationSpec {
        /// Identity of the cluster.
        #[serde(rename = "clientID")]
        #[schemars(with = "Option<String>")]
        pub client_id: String,
        /// Tells this claim of the identity from others.
        #[schemars(with = "Option<String>")]
        pub client_random: String,
        /// Labels asked for the Cluster.
        #[schemars(with = "Option<BTreeMap<String, String>>")]
        pub cluster_labels: BTreeMap<String, String>,
    }
}

impl ClusterRegistration {
    /// Whether the agent has its credential.
    pub fn is_granted(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.granted)
    }
}

go_struct! {
    /// The answer.
    pub struct ClusterRegistrationStatus {
        /// The Cluster.
        #[schemars(with = "Option<String>")]
        pub cluster_name: String,
        /// The agent has its credential.
        pub granted: bool,
        /// `Accepted`: why not, when it is refused. Not in Fleet 0.16, which grants or stays silent.
        pub conditions: Vec<super::condition::Condition>,
    }
}
