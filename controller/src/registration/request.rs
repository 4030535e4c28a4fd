//! ClusterRegistration → Cluster, and access for its agent.
//!
//! Owns who may join as which cluster. Knows nothing of how access is granted (that is
//! [`super::credentials`]). Start at [`plan_request`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::api::{Cluster, ClusterRegistration, ClusterRegistrationToken, labels, names};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use runtime::{NextWake, ObjectKey};
use serde_json::json;

use super::credentials::{Grant, grant_access};
use super::report::{report_grant, report_refusal};
use crate::context::Context;
use crate::error::Error;
use crate::objects::ObjectName;
use crate::stores::label;

/// An administrator's word, on a Cluster: its next agent may take over at once. Holds the
/// `clientRandom` that is meant, or `true` for any.
pub const ALLOW_TAKEOVER: &str = "fleet.cattle.io/allow-agent-takeover";

/// Clusters read at once when a new one is about to be made.
const CLUSTERS_PAGE: u32 = 500;

/// What one decision needs to know.
struct RequestWorld {
    request: Arc<ClusterRegistration>,
    /// The token the request names, if there is one of that name.
    token: Option<Arc<ClusterRegistrationToken>>,
    /// The Cluster with the request's clientID.
    holder: Option<Arc<Cluster>>,
    /// The Cluster that has the name a new one would get.
    namesake: Option<Arc<Cluster>>,
    /// Older requests of the same client by other agents: they end when this one is granted.
    older: Vec<Arc<ClusterRegistration>>,
    /// A newer one that is granted or could be. Without an order between them two requests that
    /// are granted at the same time would end each other.
    newer: Option<Arc<ClusterRegistration>>,
    offline_after: Duration,
    ignore_labels: bool,
    now: Timestamp,
}

/// What shall become of a request.
#[derive(Debug, PartialEq)]
enum RequestFate {
    /// Not now, and why; looked at again after that time, if time alone can change it.
    Refuse { reason: String, again_after: Option<Duration> },
    /// There has to be a Cluster first.
    CreateCluster { name: String, labels: BTreeMap<String, String> },
    /// The Cluster has no namespace yet.
    WaitForNamespace,
    /// Access for that cluster; the rivals lose theirs.
    Grant,
}

/// Decides on a request and does what was decided.
pub async fn reconcile_request(ctx: &Context, key: &ObjectKey) -> Result<NextWake, Error> {
    let Some(request) = ctx.stores.registrations.get(key) else { return Ok(NextWake::OnChange) };
    if request.is_granted() || request.metadata.deletion_timestamp.is_some() {
        return Ok(NextWake::OnChange);
    }
    let world = observe_request(ctx, request);
    match plan_request(&world) {
        RequestFate::Refuse { reason, again_after } => {
            report_refusal(ctx, &world.request, &reason).await?;
            Ok(again_after.map_or(NextWake::OnChange, NextWake::After))
        }
        RequestFate::CreateCluster { name, labels } => {
            create_cluster(ctx, &world.request, &name, &labels).await?;
            // The Cluster's own pass gives it a namespace, and that wakes us.
            Ok(NextWake::OnChange)
        }
        RequestFate::WaitForNamespace => Ok(NextWake::OnChange),
        RequestFate::Grant => {
            let Some(cluster) = &world.holder else { return Ok(NextWake::OnChange) };
            delete_requests(ctx, &world.older).await?;
            let grant = Grant { request: &world.request, cluster, token: world.token.as_deref() };
            grant_access(ctx, &grant).await?;
            report_grant(ctx, &world.request, cluster).await?;
            tracing::info!(registration = %key, cluster = cluster.name_any(), "agent registered");
            Ok(NextWake::OnChange)
        }
    }
}

fn observe_request(ctx: &Context, request: Arc<ClusterRegistration>) -> RequestWorld {
    let namespace = request.namespace().unwrap_or_default();
    let stores = &ctx.stores;
    let client_id = request.spec.client_id.as_str();
    let named = ObjectKey::new(&namespace, names::registered_cluster(client_id));
    let claims = stores.requests_of_client(&namespace, client_id);
    let rivals =
        claims.into_iter().filter(|other| other.spec.client_random != request.spec.client_random);
    let (newer, older): (Vec<_>, Vec<_>) =
        rivals.partition(|other| age_order(other) > age_order(&request));
    let token_of = |request: &ClusterRegistration| {
        let name = label(&request.metadata, labels::REGISTRATION_TOKEN).unwrap_or_default();
        stores.tokens.get(&ObjectKey::new(&namespace, name))
    };
    let counts = |other: &Arc<ClusterRegistration>| {
        other.metadata.deletion_timestamp.is_none()
            && (other.is_granted() || token_of(other).is_some())
    };
    let hub = ctx.hub();
    RequestWorld {
        token: token_of(&request),
        holder: stores.cluster_of_client(&namespace, client_id),
        namesake: stores.clusters.get(&named),
        older,
        newer: newer.into_iter().find(counts),
        offline_after: hub.offline_after(),
        ignore_labels: hub.ignore_cluster_registration_labels,
        now: ctx.now(),
        request,
    }
}

/// Requests in the order they were made; those of one second in any order, but always the same.
fn age_order(request: &ClusterRegistration) -> (Option<Timestamp>, &Option<String>) {
    let meta = &request.metadata;
    (meta.creation_timestamp.as_ref().map(|time| time.0), &meta.uid)
}

fn plan_request(world: &RequestWorld) -> RequestFate {
    let refuse = |reason: String| RequestFate::Refuse { reason, again_after: None };
    let spec = &world.request.spec;
    let Some(token) = label(&world.request.metadata, labels::REGISTRATION_TOKEN) else {
        return refuse(format!(
            "the request has no label {}; install the chart fleet-agent of this version, with \
             the value tokenName",
            labels::REGISTRATION_TOKEN
        ));
    };
    if world.token.is_none() {
        return refuse(format!(
            "ClusterRegistrationToken {token} does not exist or has expired; create a new one and \
             install the agent with its values"
        ));
    }
    if spec.client_id.is_empty() || spec.client_random.is_empty() {
        return refuse("the request has no clientID or no clientRandom".to_owned());
    }
    if let Some(newer) = &world.newer {
        return refuse(format!(
            "request {} of the same clientID is newer and takes its place",
            newer.name_any()
        ));
    }
    let Some(cluster) = &world.holder else {
        return match &world.namesake {
            Some(other) => refuse(format!("non-matching ClientID on cluster {}", other.name_any())),
            None => RequestFate::CreateCluster {
                name: names::registered_cluster(&spec.client_id),
                labels: cluster_labels(world),
            },
        };
    };
    if let Some(fresh_until) = claim_is_held(world, cluster) {
        let again_after = Duration::try_from(fresh_until.duration_since(world.now)).ok();
        return RequestFate::Refuse {
            reason: format!(
                "clientID {} belongs to cluster {}, whose agent is alive; wait until {} without a \
                 heartbeat, or set annotation {ALLOW_TAKEOVER}=true on the Cluster",
                spec.client_id,
                cluster.name_any(),
                runtime::clock::time_text(fresh_until),
            ),
            again_after,
        };
    }
    match cluster.cluster_namespace() {
        None => RequestFate::WaitForNamespace,
        Some(_) => RequestFate::Grant,
    }
}

/// Until when another agent holds the claim on the clientID; `None` when the request may have it.
///
/// The first claim that was granted holds while its agent's heartbeat is fresh: whoever has a
/// token must not be able to take a running cluster over (Fleet 0.16 lets them). A request that
/// came with the cluster's own import token was installed by the hub itself.
fn claim_is_held(world: &RequestWorld, cluster: &Cluster) -> Option<Timestamp> {
    let is_held = |rival: &Arc<ClusterRegistration>| {
        rival.is_granted() && rival.metadata.deletion_timestamp.is_none()
    };
    if !world.older.iter().any(is_held) || is_import(world, cluster) {
        return None;
    }
    let allowed = crate::stores::annotation(&cluster.metadata, ALLOW_TAKEOVER);
    if allowed.is_some_and(|who| who == "true" || who == world.request.spec.client_random) {
        return None;
    }
    let fresh_until = cluster.last_seen()?.0.checked_add(world.offline_after).ok()?;
    (fresh_until > world.now).then_some(fresh_until)
}

fn is_import(world: &RequestWorld, cluster: &Cluster) -> bool {
    let owned = |token: &ClusterRegistrationToken| {
        let owners = token.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref())
    };
    world.token.as_deref().is_some_and(owned)
}

/// The labels of a new Cluster: those asked for, without those that are Rancher's to give.
fn cluster_labels(world: &RequestWorld) -> BTreeMap<String, String> {
    let asked = &world.request.spec.cluster_labels;
    let name = names::registered_cluster(&world.request.spec.client_id);
    let mut kept: BTreeMap<String, String> = match world.ignore_labels {
        true => BTreeMap::new(),
        false => asked
            .iter()
            .filter(|(key, _)| !labels::is_cattle_key(key) || *key == labels::CREATED_BY_AGENT_POD)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    };
    kept.insert(labels::CLUSTER.to_owned(), name);
    kept
}

async fn create_cluster(
    ctx: &Context,
    request: &ClusterRegistration,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    if has_cluster(ctx, request).await? {
        return Err(Error::NotYet { what: "the cluster of this client to be seen".to_owned() });
    }
    // Asked after the Clusters: one that is gone took its requests along before it went.
    if is_withdrawn(ctx, request).await? {
        return Ok(());
    }
    let cluster = json!({
        "apiVersion": labels::API_VERSION, "kind": "Cluster",
        "metadata": { "name": name, "namespace": request.namespace(), "labels": labels },
        "spec": { "clientID": request.spec.client_id },
    });
    ctx.objects.ensure(&cluster).await?;
    tracing::info!(cluster = name, "cluster created for a registering agent");
    Ok(())
}

/// Asks the API server whether the client has a Cluster that the cache does not show yet: somebody
/// may have made it a moment before the agent came, and a second one would take the agent away from
/// the first. Reads all Clusters of the namespace, once in the life of a cluster.
async fn has_cluster(ctx: &Context, request: &ClusterRegistration) -> Result<bool, Error> {
    let namespace = request.namespace().unwrap_or_default();
    let api: Api<DynamicObject> =
        Api::namespaced_with(ctx.client.clone(), &namespace, &ApiResource::erase::<Cluster>(&()));
    let mut page = ListParams::default().limit(CLUSTERS_PAGE);
    loop {
        let clusters = api.list(&page).await;
        let clusters = clusters.map_err(|error| {
            runtime::ApiError::new(format!("list clusters in {namespace}"), error)
        })?;
        let client_id = request.spec.client_id.as_str();
        if clusters.items.iter().any(|cluster| cluster.data["spec"]["clientID"] == client_id) {
            return Ok(true);
        }
        match clusters.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(false),
        }
    }
}

/// Withdraws every request of a Cluster that is being deleted, granted or not: one that still waits
/// would make the Cluster anew, without an agent if that is gone too. An agent that has its token
/// still asks again when its wait is over.
pub async fn delete_requests_of(ctx: &Context, cluster: &Cluster) -> Result<(), Error> {
    let namespace = cluster.namespace().unwrap_or_default();
    let requests = ctx.stores.requests_of_client(&namespace, &cluster.spec.client_id);
    delete_requests(ctx, &requests).await
}

/// Asks the API server whether the request is gone or going, though the cache shows it still.
async fn is_withdrawn(ctx: &Context, request: &ClusterRegistration) -> Result<bool, Error> {
    let (namespace, name) = (request.namespace().unwrap_or_default(), request.name_any());
    let api: Api<ClusterRegistration> = Api::namespaced(ctx.client.clone(), &namespace);
    let held = api.get_metadata_opt(&name).await.map_err(|error| {
        runtime::ApiError::new(format!("read clusterregistration {namespace}/{name}"), error)
    })?;
    Ok(held.is_none_or(|held| held.metadata.deletion_timestamp.is_some()))
}

async fn delete_requests(
    ctx: &Context,
    requests: &[Arc<ClusterRegistration>],
) -> Result<(), Error> {
    for request in requests {
        let namespace = request.namespace().unwrap_or_default();
        let name = ObjectName {
            api_version: labels::API_VERSION,
            kind: "ClusterRegistration",
            namespace: &namespace,
            name: &request.name_any(),
        };
        ctx.objects.delete(&name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn request(random: &str) -> ClusterRegistration {
        let mut request = ClusterRegistration::default();
        request.metadata.name = Some(format!("request-{random}"));
        request.metadata.namespace = Some("clusters".into());
        request.labels_mut().insert(labels::REGISTRATION_TOKEN.into(), "token".into());
        request.spec.client_id = "cid-d1".into();
        request.spec.client_random = random.into();
        request
    }

    fn cluster(last_seen: &str) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.metadata.name = Some("cluster-84ce0150729a".into());
        cluster.metadata.uid = Some("cluster-uid".into());
        cluster.spec.client_id = "cid-d1".into();
        let status = cluster.status.get_or_insert_default();
        status.namespace = "cluster-ns".into();
        status.agent.last_seen = Some(last_seen.parse::<Timestamp>().unwrap().into());
        cluster
    }

    fn world(request: ClusterRegistration) -> RequestWorld {
        RequestWorld {
            request: Arc::new(request),
            token: Some(Arc::default()),
            holder: None,
            namesake: None,
            older: Vec::new(),
            newer: None,
            offline_after: Duration::from_secs(45 * 60),
            ignore_labels: false,
            now: NOW.parse().unwrap(),
        }
    }

    fn granted(random: &str) -> Arc<ClusterRegistration> {
        let mut rival = request(random);
        rival.status.get_or_insert_default().granted = true;
        Arc::new(rival)
    }

    fn is_refused(world: &RequestWorld, word: &str) -> bool {
        matches!(plan_request(world), RequestFate::Refuse { reason, .. } if reason.contains(word))
    }

    #[test]
    fn the_first_request_of_a_client_creates_its_cluster() {
        let mut first = request("a");
        first.spec.cluster_labels = [
            ("env", "dev"),
            ("fleet.cattle.io/cluster-management", "x"),
            ("management.cattle.io/cluster-name", "local"),
            ("fleet.cattle.io/created-by-agent-pod", "fleet-agent-0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let labels = [
            ("env", "dev"),
            ("fleet.cattle.io/cluster", "cluster-84ce0150729a"),
            ("fleet.cattle.io/created-by-agent-pod", "fleet-agent-0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let name = "cluster-84ce0150729a".to_owned();
        assert_eq!(plan_request(&world(first)), RequestFate::CreateCluster { name, labels });
    }

    #[test]
    fn a_request_without_token_is_refused_with_a_reason() {
        let mut old = request("a");
        old.metadata.labels = None;
        assert!(is_refused(&world(old), "no label"));
        let mut expired = world(request("a"));
        expired.token = None;
        assert!(is_refused(&expired, "does not exist or has expired"));
    }

    #[test]
    fn a_second_claim_is_refused_while_the_first_agent_is_alive() {
        let mut second = world(request("b"));
        second.holder = Some(Arc::new(cluster("2026-11-21T11:50:00Z")));
        second.older = vec![granted("a")];
        let RequestFate::Refuse { reason, again_after } = plan_request(&second) else {
            panic!("the claim was given away")
        };
        assert!(reason.contains("whose agent is alive"), "{reason}");
        assert_eq!(again_after, Some(Duration::from_secs(35 * 60)));
    }

    #[test]
    fn a_second_claim_is_granted_when_the_first_agent_is_dead_or_the_administrator_says_so() {
        let mut second = world(request("b"));
        second.older = vec![granted("a")];
        second.holder = Some(Arc::new(cluster("2026-11-21T11:00:00Z")));
        assert_eq!(plan_request(&second), RequestFate::Grant);
        let mut allowed = cluster("2026-11-21T11:59:00Z");
        allowed.annotations_mut().insert(ALLOW_TAKEOVER.into(), "true".into());
        second.holder = Some(Arc::new(allowed));
        assert_eq!(plan_request(&second), RequestFate::Grant);
    }

    #[test]
    fn an_agent_the_hub_installed_itself_may_replace_its_predecessor() {
        let mut again = world(request("b"));
        again.older = vec![granted("a")];
        again.holder = Some(Arc::new(cluster("2026-11-21T11:59:00Z")));
        let mut token = ClusterRegistrationToken::default();
        let owner = serde_json::from_value(json!({
            "apiVersion": "v", "kind": "Cluster", "name": "c", "uid": "cluster-uid",
        }));
        token.metadata.owner_references = Some(vec![owner.unwrap()]);
        again.token = Some(Arc::new(token));
        assert_eq!(plan_request(&again), RequestFate::Grant);
    }

    #[test]
    fn of_two_requests_the_newer_one_counts() {
        let mut older = world(request("a"));
        older.holder = Some(Arc::new(cluster("2026-11-21T11:00:00Z")));
        older.newer = Some(Arc::new(request("b")));
        assert!(is_refused(&older, "request-b of the same clientID is newer"));
        let mut newer = world(request("b"));
        newer.holder = Some(Arc::new(cluster("2026-11-21T11:00:00Z")));
        newer.older = vec![Arc::new(request("a"))];
        assert_eq!(plan_request(&newer), RequestFate::Grant);
    }

    #[test]
    fn a_name_taken_by_another_client_is_not_overwritten() {
        let mut clash = world(request("a"));
        clash.namesake = Some(Arc::new(cluster(NOW)));
        assert!(is_refused(&clash, "non-matching ClientID on cluster cluster-84ce0150729a"));
    }
}
