//! Work is proportional to the change, never to the fleet: every request of the controller counted.
//!
//! Under virtual time: [`World::settle`] waits a minute, in which every delay and window is over.

use serde_json::{Value, json};

use crate::world::{World, condition, deployment, object};

const BUNDLES: usize = 20;
const CLUSTERS: usize = 30;

/// The namespace of each cluster's deployments.
struct Fleet {
    world: World,
    homes: Vec<String>,
}

fn cluster_name(index: usize) -> String {
    format!("c{index:02}")
}

/// Bundles `all-00`… of GitRepo `repo` go everywhere, `prod` and `templated` look at labels.
async fn fleet(clusters: usize, bundles: usize) -> Fleet {
    let world = World::start().await;
    let group = json!({"selector": {"matchLabels": {"env": "prod"}}});
    world.post("clustergroups", object("ClusterGroup", json!({"name": "prod"}), group)).await;
    let repo = json!({"repo": "https://git.example/x.git", "branch": "main"});
    let repo = world.post("gitrepos", object("GitRepo", json!({"name": "repo"}), repo)).await;
    let status = json!({"commit": "abc", "gitJobStatus": "Current",
        "observedGeneration": repo["metadata"]["generation"]});
    world.patch("gitrepos/repo/status", json!({"status": status})).await;
    let mut homes = Vec::new();
    for index in 0..clusters {
        let env = if index + 1 == clusters { "prod" } else { "dev" };
        let labels = json!({"env": env, "name": cluster_name(index)});
        homes.push(world.cluster(&cluster_name(index), labels).await);
    }
    let target = |selector: Value| json!({"targets": [{"clusterSelector": selector}]});
    for index in 0..bundles {
        let name = format!("all-{index:02}");
        world.bundle_of("repo", &name, target(json!({}))).await;
    }
    let prod = json!({"matchLabels": {"env": "prod"}});
    world.bundle_of("repo", "prod", target(prod)).await;
    let mut templated = target(json!({"matchLabels": {"name": "c00"}}));
    templated["helm"] = json!({"values": {"env": "${ .ClusterLabels.env }"}});
    world.bundle_of("repo", "templated", templated).await;
    world.settle().await;
    let fleet = Fleet { world, homes };
    fleet.report_all().await;
    fleet.world.settle().await;
    for index in 0..bundles {
        let held = fleet.world.get(&format!("bundles/all-{index:02}")).await;
        let ready = format!("{clusters}/{clusters}");
        assert_eq!(held["status"]["display"]["readyClusters"], ready, "{held}");
        assert_eq!(condition(&held, "Ready").0, "True", "{held}");
    }
    fleet.world.requests();
    fleet
}

impl Fleet {
    /// Every agent says that all it was told runs.
    async fn report_all(&self) {
        for home in &self.homes {
            let path =
                format!("/apis/fleet.cattle.io/v1alpha1/namespaces/{home}/bundledeployments");
            let held = self.world.get(&path).await;
            for one in held["items"].as_array().unwrap() {
                let name = one["metadata"]["name"].as_str().unwrap();
                self.world.report_ready(&deployment(home, name)).await;
            }
        }
    }

    async fn label(&self, cluster: usize, labels: Value) {
        let what = format!("clusters/{}", cluster_name(cluster));
        self.world.patch(&what, json!({"metadata": {"labels": labels}})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_status_costs_what_it_changes_however_many_clusters_there_are() {
    let Fleet { world, homes } = fleet(CLUSTERS, BUNDLES).await;
    let one = format!("{}/status", deployment(&homes[7], "all-03"));

    world.patch(&one, json!({"status": {"release": "n/r:2"}})).await;
    world.settle().await;
    assert_eq!(world.requests(), [""; 0], "its summary says the same");

    world.patch(&one, json!({"status": {"ready": false}})).await;
    world.settle().await;
    let summaries =
        ["PATCH bundles/all-03/status", "PATCH clusters/c07/status", "PATCH gitrepos/repo/status"];
    assert_eq!(world.requests(), summaries);

    world.patch(&one, json!({"status": {"ready": true}})).await;
    world.settle().await;
    // Before it says that it is ready, a GitRepo looks whether all of its Bundles were seen.
    let look = "GET bundles?&labelSelector=fleet.cattle.io%2Frepo-name%3Drepo";
    assert_eq!(world.requests(), [&[look], &summaries[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_label_costs_the_bundles_that_look_at_it() {
    let fleet = fleet(6, 8).await;
    let world = &fleet.world;
    let passes = world.passes().await;

    fleet.label(1, json!({"rack": "7"})).await;
    world.settle().await;
    assert_eq!(world.requests(), [""; 0]);
    let more = world.passes().await;
    assert_eq!(more["bundle"], passes["bundle"], "nobody looks at it");
    assert_eq!(more["clustergroup"], passes["clustergroup"]);
    assert_eq!(more["gitrepo-status"], passes["gitrepo-status"]);

    fleet.label(1, json!({"env": "prod"})).await;
    world.settle().await;
    let home = &fleet.homes[1];
    assert_eq!(
        world.requests(),
        [
            content_count(),
            "PATCH bundles/prod/status".to_owned(),
            "PATCH clustergroups/prod/status".to_owned(),
            "PATCH clusters/c01/status".to_owned(),
            "PATCH gitrepos/repo/status".to_owned(),
            format!("POST {}", deployment(home, "").trim_end_matches('/')),
        ]
    );
    let passed = world.passes().await["bundle"] - passes["bundle"];
    assert!((1..=4).contains(&passed), "{passed} passes over one bundle");
}

#[tokio::test(start_paused = true)]
async fn a_template_sees_the_labels_of_its_clusters_only() {
    let fleet = fleet(4, 2).await;
    let world = &fleet.world;
    let path = deployment(&fleet.homes[0], "templated");
    let id = world.get(&path).await["spec"]["deploymentID"].clone();
    assert!(id.is_string(), "it goes there now");
    fleet.label(0, json!({"env": "test"})).await;
    world.settle().await;
    assert_ne!(world.get(&path).await["spec"]["deploymentID"], id, "other values");

    let passes = world.passes().await;
    world.requests();
    fleet.label(1, json!({"env": "test"})).await;
    world.settle().await;
    assert_eq!(world.requests(), [""; 0]);
    assert_eq!(world.passes().await["bundle"], passes["bundle"]);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_world_is_not_written_to_whoever_restarts() {
    let mut fleet = fleet(6, 4).await;
    for _ in 0..3 {
        fleet.world.restart().await;
        fleet.world.settle().await;
        let writes: Vec<String> =
            fleet.world.requests().into_iter().filter(|line| !line.starts_with("GET")).collect();
        assert_eq!(writes, [""; 0]);
        assert!(fleet.world.passes().await["bundle"] >= 6, "it looked at all of them");
    }
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    assert_eq!(fleet.world.requests(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_new_cluster_costs_its_own_objects_and_one_status_of_each_bundle() {
    let fleet = fleet(6, 3).await;
    let world = &fleet.world;
    let home = world.cluster("new", json!({"env": "dev"})).await;
    world.settle().await;
    let is_own = |line: &String| line.contains(&home) || line.contains("clusters/new");
    let (own, others): (Vec<_>, Vec<_>) = world.requests().into_iter().partition(is_own);
    let deployments = format!("POST {}", deployment(&home, "").trim_end_matches('/'));
    let made = own.iter().filter(|line| **line == deployments).count();
    assert_eq!(made, 3, "one deployment per bundle");
    assert!(own.len() <= made + 5, "its finalizer, namespace and statuses: {own:?}");
    let bundles = ["all-00", "all-01", "all-02"];
    let statuses = bundles.iter().map(|name| format!("PATCH bundles/{name}/status"));
    let mut wanted = vec![content_count()];
    wanted.extend(statuses);
    wanted.push("PATCH gitrepos/repo/status".to_owned());
    assert_eq!(others, wanted);
}

fn content_count() -> String {
    "PATCH /apis/fleet.cattle.io/v1alpha1/contents/x/status".to_owned()
}
