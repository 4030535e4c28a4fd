//! Stories on real clusters: etcd, kube-apiserver, helm and kubectl are the peers' own.
//!
//! Run by `cargo xtask e2e`; a plain `cargo test` says that it did not run them.

mod charts;
mod delivery;
mod harness;
mod kill;
mod moves;
mod nightly;
mod readme;
mod support;
mod tutorial;
mod wave;

use std::process::ExitCode;

use e2e::stories;
use e2e::story::tell;
use e2e::world::World;

fn main() -> ExitCode {
    let mut stories = stories![
        harness::clusters_answer,
        harness::pods_tell_the_truth,
        charts::rights_are_those_of_the_golden,
        charts::unserved_values_fail,
        charts::agent_chart_guards;
        tutorial::hub_comes_up_without_values,
        tutorial::first_repo_reaches_the_local_cluster,
        tutorial::token_without_an_address_says_so,
        tutorial::token_gives_values,
        tutorial::agent_names_a_bad_ca,
        tutorial::members_register_with_the_token,
        tutorial::repo_reaches_members_by_label;
        readme::every_command_was_run,
        tutorial::workspace_namespace_is_the_users_own,
        delivery::two_paths_reach_both_members,
        delivery::values_differ_per_cluster,
        delivery::helm_reads_the_release,
        delivery::commit_changes_only_its_path,
        delivery::removed_manifest_disappears,
        delivery::cluster_labels_move_deployments,
        delivery::deleted_object_comes_back,
        delivery::invalid_manifest_names_file_and_line,
        delivery::deleted_gitrepo_removes_what_it_made,
        moves::renamed_path_keeps_its_volume_claim,
        moves::chart_of_a_helm_repository_reaches_members,
        kill::killed_processes_change_nothing,
    ];
    if std::env::var_os(nightly::SWITCH).is_some() {
        stories.retain(|story| story.foundation);
        stories.extend(stories![;;
            nightly::killed_in_every_phase_changes_nothing,
            nightly::outage_of_the_hub_is_survived,
            nightly::outage_of_a_member_is_survived,
        ]);
    }
    tell(&stories, || World::start(2))
}
