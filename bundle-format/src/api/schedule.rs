//! Schedule: when clusters take changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;

use super::condition::Condition;
use super::selector::LabelSelector;
use super::wire::GoDuration;

go_struct! {
    /// When clusters take changes.
    #[derive(CustomResource)]
    #[kube(
        group = "fleet.cattle.io", version = "v1alpha1", kind = "Schedule", namespaced,
        status = "ScheduleStatus", derive = "Default", derive = "PartialEq",
        attr = "cfg_attr(all(), serde(default))",
        printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
        printcolumn(name = "Duration", type_ = "string", json_path = ".spec.duration"),
        printcolumn(name = "Active", type_ = "string", json_path = ".status.active"),
        printcolumn(name = "NextStart", type_ = "string", json_path = ".status.nextStartTime")
    )]
    pub struct ScheduleSpec {
        /// When it opens: cron with seconds in front.
        pub schedule: String,
        /// How long it stays open.
        #[schemars(with = "GoDuration")]
        pub duration: Option<GoDuration>,
        /// Time zone of `schedule`; the hub's when empty.
        pub location: String,
        /// Whom it is for.
        #[schemars(with = "ScheduleTargets")]
        pub targets: ScheduleTargets,
    }
}

go_struct! {
    /// Whom a Schedule is for.
    pub struct ScheduleTargets {
        /// Clusters.
        pub clusters: Vec<ScheduleTarget>,
    }
}

go_struct! {
    /// Clusters of a Schedule.
    pub struct ScheduleTarget {
        /// Name.
        #[schemars(with = "Option<String>")]
        pub name: String,
        /// Matches a cluster by name.
        #[schemars(with = "Option<String>")]
        pub cluster_name: String,
        /// Matches clusters by label.
        pub cluster_selector: Option<LabelSelector>,
        /// Matches the clusters of a group.
        #[schemars(with = "Option<String>")]
        pub cluster_group: String,
        /// Matches the clusters of groups, by the groups' labels.
        pub cluster_group_selector: Option<LabelSelector>,
    }
}

go_struct! {
    /// What became of a Schedule.
    pub struct ScheduleStatus {
        /// It is open.
        pub active: bool,
        /// When it opens next.
        #[schemars(with = "Time")]
        pub next_start_time: Option<Time>,
        /// `Ready`.
        pub conditions: Vec<Condition>,
        /// Clusters it is for.
        pub matching_clusters: Vec<String>,
    }
}
