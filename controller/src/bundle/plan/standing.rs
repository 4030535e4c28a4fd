//! How the clusters of a plan stand, kept up to date one report at a time.
//!
//! Owns the counts over the clusters of one Bundle: a report costs one step, however many clusters
//! there are. Pure. Start at [`Standing::of`], then [`Standing::take_report`].

use std::collections::BTreeSet;

use bundle_format::api::BundleDeployment;
use bundle_format::summary::{Contribution, Tally};

use super::status::{Deployments, Destination, Outcome};

/// A plan that was carried out, and the state of each of its clusters.
///
/// Guarantees: after any sequence of reports it is what [`Standing::of`] makes of the
/// BundleDeployments as they are then, or [`Standing::take_report`] has said no.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    outcome: Outcome,
    /// Indices of the destinations, by home.
    by_home: Vec<usize>,
    tally: Tally<usize>,
    partitions: Vec<Tally<usize>>,
    /// Destinations that do not run their version well.
    unavailable: BTreeSet<usize>,
    /// How many of them each partition has.
    unavailable_counts: Vec<usize>,
}

impl Standing {
    /// Looks at all clusters of a plan.
    pub fn of(outcome: Outcome, deployments: &Deployments) -> Self {
        let mut by_home: Vec<usize> = (0..outcome.destinations.len()).collect();
        by_home.sort_by(|&a, &b| outcome.destinations[a].home.cmp(&outcome.destinations[b].home));
        let mut standing = Self {
            by_home,
            tally: Tally::new(),
            partitions: vec![Tally::new(); outcome.partitions.len()],
            unavailable: BTreeSet::new(),
            unavailable_counts: vec![0; outcome.partitions.len()],
            outcome,
        };
        for at in 0..standing.outcome.destinations.len() {
            let home = &standing.outcome.destinations[at].home;
            standing.count(at, deployments.get(home).map(|held| &**held));
        }
        standing
    }

    /// Whether these BundleDeployments are what the plan left behind: no more, no fewer, no others.
    pub fn holds(&self, deployments: &Deployments) -> bool {
        let destinations = &self.outcome.destinations;
        let is_there = |destination: &Destination| {
            deployments.get(&destination.home).is_some_and(|held| is_planned(destination, held))
        };
        deployments.len() == destinations.len() && destinations.iter().all(is_there)
    }

    /// The plan, with counts of now.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The states of all clusters.
    pub fn tally(&self) -> &Tally<usize> {
        &self.tally
    }

    /// The states of each partition's clusters.
    pub fn partitions(&self) -> &[Tally<usize>] {
        &self.partitions
    }

    /// Takes in one BundleDeployment as it is now, `None` when it is gone. Returns whether the plan
    /// still holds; if not, everything has to be planned again.
    pub fn take_report(&mut self, home: &str, deployment: Option<&BundleDeployment>) -> bool {
        let destinations = &self.outcome.destinations;
        let found = self.by_home.binary_search_by(|&at| destinations[at].home.as_str().cmp(home));
        let Ok(found) = found else { return deployment.is_none() };
        let at = self.by_home[found];
        if !deployment.is_some_and(|held| is_planned(&destinations[at], held)) {
            return false;
        }
        self.count(at, deployment);
        true
    }

    /// Counts anew what changes while a plan rests. Returns whether the plan still holds: a
    /// partition over its limit stops the partitions after it, and that is for the planner to see.
    pub fn rest(&mut self) -> bool {
        self.outcome.newly_created_count = 0;
        self.outcome.unavailable_count = self.unavailable.len();
        let mut partitions = self.outcome.partitions.iter_mut().zip(&self.unavailable_counts);
        partitions.all(|(plan, &count)| {
            plan.unavailable_count = count;
            count <= plan.partition.max_unavailable_count
        })
    }

    fn count(&mut self, at: usize, deployment: Option<&BundleDeployment>) {
        let destination = &self.outcome.destinations[at];
        let name = format!("{}/{}", destination.namespace, destination.cluster);
        let contribution = Contribution::towards(deployment, &destination.deployment_id);
        let is_available = is_available(destination, deployment);
        let changes = match is_available {
            true => self.unavailable.remove(&at),
            false => self.unavailable.insert(at),
        };
        for (index, plan) in self.outcome.partitions.iter().enumerate() {
            if plan.partition.members.binary_search(&at).is_err() {
                continue;
            }
            self.partitions[index].set(at, &name, contribution.clone());
            let count = &mut self.unavailable_counts[index];
            match (changes, is_available) {
                (false, _) => {}
                (true, true) => *count -= 1,
                (true, false) => *count += 1,
            }
        }
        self.tally.set(at, &name, contribution);
    }
}

fn is_planned(destination: &Destination, held: &BundleDeployment) -> bool {
    *held.spec.deployment_id == *destination.deployment_id
        && *held.spec.staged_deployment_id == *destination.deployment_id
}

fn is_available(destination: &Destination, deployment: Option<&BundleDeployment>) -> bool {
    deployment.and_then(|held| held.status.as_ref()).is_some_and(|status| {
        status.ready && *status.applied_deployment_id == *destination.deployment_id
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bundle_format::rollout::{Partition, PartitionPlan};

    use super::*;

    /// Two partitions of two clusters each; in the second nobody may be unavailable.
    fn outcome() -> Outcome {
        let destination = |name: &str| Destination {
            cluster: name.into(),
            namespace: "clusters".into(),
            // Homes are in another order than names.
            home: format!("home-{}", name.replace('a', "z")),
            deployment_id: "c:o".into(),
        };
        let partition = |members: [usize; 2], max_unavailable_count| PartitionPlan {
            partition: Partition {
                name: "p".into(),
                is_rest: false,
                members: members.into(),
                max_unavailable_count,
            },
            unavailable_count: 0,
        };
        let destinations = ["a", "b", "c", "d"].map(destination).into();
        Outcome::new(destinations, vec![partition([0, 1], 2), partition([2, 3], 0)])
    }

    fn deployment(applied: &str, ready: bool) -> Arc<BundleDeployment> {
        let mut deployment = BundleDeployment::default();
        deployment.spec.deployment_id = "c:o".into();
        deployment.spec.staged_deployment_id = "c:o".into();
        let status = deployment.status.get_or_insert_default();
        status.applied_deployment_id = applied.into();
        status.ready = ready;
        status.non_modified = true;
        Arc::new(deployment)
    }

    fn all_ready() -> Deployments {
        let homes = ["home-z", "home-b", "home-c", "home-d"];
        homes.map(|home| (home.to_owned(), deployment("c:o", true))).into()
    }

    #[test]
    fn reports_one_by_one_come_to_what_all_of_them_are() {
        let mut deployments = all_ready();
        let mut standing = Standing::of(outcome(), &deployments);
        assert!(standing.rest());
        for (home, applied, ready) in [
            ("home-z", "old:o", true),
            ("home-b", "c:o", false),
            ("home-z", "c:o", true),
            ("home-b", "old:o", false),
        ] {
            deployments.insert(home.into(), deployment(applied, ready));
            assert!(standing.take_report(home, Some(&deployments[home])));
            let mut anew = Standing::of(outcome(), &deployments);
            assert!(standing.rest() && anew.rest());
            assert_eq!(standing, anew, "{home} {applied}");
        }
        assert_eq!(standing.outcome().unavailable_count, 1);
        assert_eq!(standing.outcome().partitions[0].unavailable_count, 1);
        assert_eq!(standing.tally().ready_of_all(), "3/4");
        assert_eq!(standing.partitions()[1].ready_of_all(), "2/2");
    }

    #[test]
    fn a_plan_that_does_not_hold_any_more_says_so() {
        let mut standing = Standing::of(outcome(), &all_ready());
        assert!(standing.holds(&all_ready()));
        let mut fewer = all_ready();
        fewer.remove("home-d");
        assert!(!standing.holds(&fewer));
        fewer.insert("home-x".into(), deployment("c:o", true));
        assert!(!standing.holds(&fewer), "as many, but others");
        assert!(!standing.take_report("home-c", None), "gone");
        assert!(!standing.take_report("home-new", Some(&deployment("c:o", true))), "not ours");
        assert!(standing.take_report("home-new", None), "what is not there may be gone");
        let mut other = BundleDeployment::clone(&deployment("c:o", true));
        other.spec.staged_deployment_id = "x:o".into();
        assert!(!standing.take_report("home-c", Some(&other)), "another version");
        assert!(standing.take_report("home-c", Some(&deployment("c:o", false))));
        assert!(!standing.rest(), "its partition allows none");
    }
}
