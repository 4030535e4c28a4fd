//! `fleet up`: a hub and its members in one process, on a machine that has nothing else.
//!
//! Owns the order of the start, the picture while it runs and the clean end. What each part does is
//! in its own crate; the processes here are the very ones that run in pods. Start at [`run`].

mod board;
mod cluster;
mod install;
mod kubeconfig;
mod objects;
mod repository;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bundle_format::api::labels;
use clap::Args;
use runtime::control_loop::QueueConfig;
use runtime::{ObjectKey, Queue};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Ui;
use board::{Board, Picture};
use cluster::{Cluster, Start};
use install::WORKSPACE;
use repository::Source;

/// How often the picture is read anew; reading it costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Start a hub and members on this machine and deploy a repository to them
///
/// Everything runs in this one process, with API servers of its own: no cluster, container or
/// other program is needed. Members have no nodes: their workloads are simulated. Ends with Ctrl-C; the
/// next start goes on where it ended.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// Members besides the hub
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub members: u16,
    /// Folder or address of the Git repository [default: a copy of the quickstart]
    #[arg(long, value_name = "FOLDER|URL")]
    pub repo: Option<String>,
    /// Branch to follow [default: the folder's current one, or main]
    #[arg(long)]
    pub branch: Option<String>,
    /// Folder for everything that is kept [default: $XDG_DATA_HOME/fleet-up]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Keep no cluster state: each start is a new fleet
    #[arg(long)]
    pub memory: bool,
    /// Port of the hub's API; the members have the next ones, 0 takes free ones
    #[arg(long, value_name = "NUMBER", default_value_t = 17443)]
    pub port: u16,
    /// Milliseconds until a simulated workload is ready
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub ready_after: u64,
    /// Store workloads without simulating them: they never become ready
    #[arg(long)]
    pub no_simulation: bool,
    /// End as soon as everything is ready (for scripts)
    #[arg(long)]
    pub until_ready: bool,
}

/// Everything that runs.
struct Fleet {
    hub: Cluster,
    members: Vec<Cluster>,
    processes: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    git_repos: Queue<ObjectKey>,
}

/// Runs until Ctrl-C.
pub async fn run(args: UpArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let data = data_folder(args.data.clone())?;
    let source = Source::choose(args.repo.as_deref(), args.branch.as_deref(), &data)?;
    let mut fleet = start(&args, &data).await?;
    let kubeconfig = data.join("kubeconfig");
    let clusters: Vec<&Cluster> = std::iter::once(&fleet.hub).chain(&fleet.members).collect();
    kubeconfig::write_kubeconfig(&kubeconfig, &clusters)?;
    for cluster in clusters {
        ui.out(&format!("{:<10} {}\n", cluster.name, cluster.url()))?;
    }
    ui.flush()?;
    let repo = git_repo(&fleet.hub, &source).await?;
    let _watcher = match &source.folder {
        Some(folder) => {
            let (queue, key) = (fleet.git_repos.clone(), repo.clone());
            Some(repository::watch_commits(folder, move || queue.add(key.clone()))?)
        }
        None => None,
    };
    let result = fleet.look(&args, &source, &kubeconfig, ui).await;
    fleet.end().await;
    result
}

fn data_folder(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = match given {
        Some(folder) => folder,
        None => {
            let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share"));
            let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
            base.context("neither HOME nor XDG_DATA_HOME is set; choose a folder with --data")?
                .join("fleet-up")
        }
    };
    let failed = || format!("cannot create {}; choose a folder with --data", folder.display());
    std::fs::create_dir_all(&folder).with_context(failed)?;
    Ok(folder)
}

async fn start(args: &UpArgs, data: &Path) -> anyhow::Result<Fleet> {
    let kept = (!args.memory).then_some(data);
    let port = |offset: u16| if args.port == 0 { 0 } else { args.port.saturating_add(offset) };
    let hub = Start { name: "hub", data: kept, port: port(0), simulation: None };
    let hub = Cluster::start(hub).await?;
    install::install_hub(&hub).await?;
    let stop = CancellationToken::new();
    let mut processes = JoinSet::new();
    let controller = controller::ControllerConfig::in_process(labels::SYSTEM_NAMESPACE);
    let running = controller::run(controller, hub.client.clone(), stop.clone());
    processes.spawn(async move { running.await.context("controller") });
    let git_repos: Queue<ObjectKey> = Queue::new("gitrepo", QueueConfig::concurrency(4));
    let gitjob = gitjob::GitjobConfig {
        work_dir: data.join("git"),
        allow_local_repositories: true,
        ..gitjob::GitjobConfig::default()
    };
    let running =
        gitjob::run_with_queue(gitjob, hub.client.clone(), stop.clone(), git_repos.clone());
    processes.spawn(async move { running.await.context("gitjob") });
    let mut fleet = Fleet { hub, members: Vec::new(), processes, stop, git_repos };
    let values = install::registration_values(&fleet.hub.client).await?;
    for number in 1..=args.members {
        let name = format!("member-{number}");
        let delay = Duration::from_millis(args.ready_after);
        let simulation = (!args.no_simulation).then_some(hub::Simulation { ready_after: delay });
        let member = Start { name: &name, data: kept, port: port(number), simulation };
        let member = Cluster::start(member).await?;
        fleet.join(member, number, &values).await?;
    }
    Ok(fleet)
}

impl Fleet {
    /// Registers a member and starts its agent.
    async fn join(&mut self, member: Cluster, number: u16, values: &Value) -> anyhow::Result<()> {
        let env = if number.is_multiple_of(2) { "prod" } else { "dev" };
        let cluster_labels = BTreeMap::from([("env".to_owned(), env.to_owned())]);
        // Known by its name before it registers, so that it is not called `cluster-` and a hash.
        let cluster = json!({"apiVersion": labels::API_VERSION, "kind": "Cluster",
            "metadata": {"name": member.name, "namespace": WORKSPACE, "labels": cluster_labels},
            "spec": {"clientID": member.name}});
        let path = format!("/apis/{}/namespaces/{WORKSPACE}/clusters", labels::API_VERSION);
        objects::ensure(&self.hub.client, &path, &cluster).await?;
        install::install_agent(&member, values, &cluster_labels).await?;
        let config = agent::config::AgentConfig::embedded(labels::SYSTEM_NAMESPACE);
        let name = member.name.clone();
        let (client, stop) = (member.client.clone(), self.stop.clone());
        self.processes.spawn(async move {
            agent::run(config, client, stop).await.with_context(|| format!("agent of {name}"))
        });
        self.members.push(member);
        Ok(())
    }

    /// Shows the picture until the end is asked for.
    async fn look(
        &mut self,
        args: &UpArgs,
        source: &Source,
        kubeconfig: &Path,
        ui: &mut Ui,
    ) -> anyhow::Result<()> {
        let mut board = Board::new();
        let mut has_told = false;
        let mut asked_to_end = std::pin::pin!(asked_to_end());
        loop {
            let picture = Picture::observe(&self.hub.client).await?;
            board.show(&picture, ui)?;
            if picture.is_ready() && !has_told {
                has_told = true;
                ui.out(&next_commands(args, source, kubeconfig))?;
                ui.flush()?;
                board.leave();
                if args.until_ready {
                    return Ok(());
                }
            }
            tokio::select! {
                () = &mut asked_to_end => return Ok(()),
                Some(ended) = self.processes.join_next() => {
                    ended.context("a process panicked")??;
                    bail!("a process ended by itself");
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        let all = async { while self.processes.join_next().await.is_some() {} };
        // Whoever hangs is dropped: every write that was answered is on disk.
        drop(tokio::time::timeout(Duration::from_secs(5), all).await);
    }
}

/// Ctrl-C, or a polite request by the system.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    drop(tokio::signal::ctrl_c().await);
}

/// Writes the GitRepo that follows the source.
async fn git_repo(hub: &Cluster, source: &Source) -> anyhow::Result<ObjectKey> {
    let name = match source.is_quickstart {
        true => "quickstart".to_owned(),
        false => name_of(&source.url),
    };
    let mut spec = json!({"repo": source.url, "branch": source.branch,
        "targets": [{"name": "all", "clusterSelector": {}}]});
    if source.is_quickstart {
        spec["paths"] = json!(["namespace", "web"]);
    }
    let repo = json!({"apiVersion": labels::API_VERSION, "kind": "GitRepo",
        "metadata": {"name": name, "namespace": WORKSPACE}, "spec": spec});
    let path = format!("/apis/{}/namespaces/{WORKSPACE}/gitrepos", labels::API_VERSION);
    objects::ensure(&hub.client, &path, &repo).await?;
    Ok(ObjectKey { namespace: WORKSPACE.to_owned(), name })
}

/// A name for the GitRepo from the last part of an address.
fn name_of(url: &str) -> String {
    let last = url.trim_end_matches('/').trim_end_matches(".git").rsplit(['/', ':']).next();
    let lower = last.unwrap_or_default().to_lowercase();
    let clean: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    match clean.trim_matches('-') {
        "" => "repo".to_owned(),
        name => name.to_owned(),
    }
}

fn next_commands(args: &UpArgs, source: &Source, kubeconfig: &Path) -> String {
    let config = kubeconfig.display();
    let first = match (&source.folder, source.is_quickstart) {
        (Some(folder), true) => {
            let folder = folder.display();
            format!(
                "sed -i 's/color: blue/color: red/' {folder}/web/fleet.yaml && git -C {folder} commit -qam 'red'"
            )
        }
        (Some(folder), false) => format!("git -C {} commit …", folder.display()),
        (None, _) => format!("kubectl --kubeconfig {config} get gitrepos -A"),
    };
    let last_member = format!("member-{}", args.members);
    format!(
        "\nReady. Try next, in another terminal:\n  {first}\n  kubectl --kubeconfig {config} get bundles,clusters -A\n  kubectl --kubeconfig {config} --context {last_member} get deployments,configmaps -n web\n\nCtrl-C ends it; the next `fleet up` goes on from here.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_git_repo_is_named_after_the_end_of_its_address() {
        assert_eq!(name_of("https://git.example.com/team/My_App.git"), "my-app");
        assert_eq!(name_of("git@example.com:team/app.git/"), "app");
        assert_eq!(name_of("file:///"), "repo");
    }
}
