//! `fleet up`: a hub and its members in one process, on a machine that has nothing else.
//!
//! Owns the order of the start, the picture while it runs and the clean end. What each part does is
//! in its own crate; the processes here are the very ones that run in pods. Start at [`run`].

mod address;
mod board;
mod cluster;
mod data;
pub mod down;
pub mod hub;
mod install;
mod kubeconfig;
mod repository;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::hub::Simulation;
use anyhow::{Context as _, bail};
use bundle_format::api::labels;
use clap::Args;
use runtime::control_loop::QueueConfig;
use runtime::{ObjectKey, Queue, objects};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Ui;
use board::{Board, Picture};
use cluster::{Cluster, Start};
use data::{Data, quoted};
use install::WORKSPACE;
use repository::Source;

/// How often the picture is read anew; reading it costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Most members of one process.
const MEMBERS_MAX: u16 = 100;

/// Names in the data folder.
const KUBECONFIG: &str = "kubeconfig";
const GIT: &str = "git";

/// Start a hub and members on this machine and deploy a repository to them
///
/// Everything runs in this one process, with API servers of its own: no cluster, container or
/// other program is needed. Members have no nodes: their workloads are simulated. Ends with Ctrl-C
/// or `fleet down`; the next start goes on where it ended.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// Members besides the hub, 1 to 100 [default: as many as there were, or 2]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub members: Option<u16>,
    /// Folder or address of the Git repository [default: a copy of the quickstart]
    #[arg(long, value_name = "FOLDER|URL")]
    pub repo: Option<String>,
    /// Branch to follow [default: the folder's current one, or the server's default]
    #[arg(long)]
    pub branch: Option<String>,
    /// Folder for everything that is kept [default: $XDG_DATA_HOME/fleet-up]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Keep nothing: each start is a new fleet
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
    members_wanted: u16,
    processes: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    git_repos: Queue<ObjectKey>,
    /// Values of a registration token, once a member needed them.
    values: Option<Value>,
    started: Instant,
}

/// Runs until Ctrl-C or `fleet down`.
pub async fn run(args: UpArgs, ui: &mut Ui) -> anyhow::Result<()> {
    let started = Instant::now();
    let data = Data::open(args.data.as_deref(), args.memory)?;
    let count = members_count(&args, data.path())?;
    let source = Source::choose(args.repo.as_deref(), args.branch.as_deref(), data.path()).await?;
    ui.out(&format!("a hub and {count} members, in {}\n", data.path().display()))?;
    ui.flush()?;
    let mut fleet = Fleet::start(&args, count, &data, started).await?;
    let mut asked_to_end = std::pin::pin!(asked_to_end(&data));
    let result = tokio::select! {
        () = &mut asked_to_end => Ok(()),
        result = fleet.serve(&args, &source, &data, ui) => result,
    };
    fleet.end().await;
    if args.memory {
        source.forget();
        drop(std::fs::remove_file(data.path().join(KUBECONFIG)));
        drop(std::fs::remove_dir_all(data.path().join(GIT)));
    }
    result?;
    if !args.until_ready {
        ui.out("\nended\n")?;
    }
    Ok(())
}

/// How many members to start: never fewer than are registered.
fn members_count(args: &UpArgs, data: &Path) -> anyhow::Result<u16> {
    let is_there = |number: &u16| !args.memory && cluster::has_data(data, &member_name(*number));
    let known = (1..=MEMBERS_MAX).take_while(is_there).last().unwrap_or(0);
    let count = args.members.unwrap_or(if known == 0 { 2 } else { known });
    if count < known {
        let shown = data.display();
        bail!(
            "the fleet in {shown} has {known} members, and {count} would leave the others without their agents; start it with --members {known}, or choose another folder with --data"
        );
    }
    if args.port != 0 && args.port.checked_add(count).is_none() {
        bail!(
            "--port {} leaves no ports for {count} members; choose one below {}",
            args.port,
            u16::MAX - count
        );
    }
    Ok(count)
}

fn member_name(number: u16) -> String {
    format!("member-{number}")
}

impl Fleet {
    /// Starts the hub and its processes.
    async fn start(
        args: &UpArgs,
        members_wanted: u16,
        data: &Data,
        started: Instant,
    ) -> anyhow::Result<Fleet> {
        let kept = (!args.memory).then_some(data.path());
        let hub = Start { name: "hub", data: kept, port: args.port, simulation: None };
        let hub = Cluster::start(hub).await?;
        install::install_hub(&hub).await?;
        let stop = CancellationToken::new();
        let mut processes = JoinSet::new();
        let controller = controller::ControllerConfig::in_process(labels::SYSTEM_NAMESPACE);
        let running = controller::run(controller, hub.client.clone(), stop.clone());
        processes.spawn(async move { running.await.context("controller") });
        let git_repos: Queue<ObjectKey> = Queue::new("gitrepo", QueueConfig::concurrency(4));
        let gitjob = gitjob::GitjobConfig {
            work_dir: data.path().join(GIT),
            allow_local_repositories: true,
            ..gitjob::GitjobConfig::default()
        };
        let running =
            gitjob::run_with_queue(gitjob, hub.client.clone(), stop.clone(), git_repos.clone());
        processes.spawn(async move { running.await.context("gitjob") });
        let (members, values) = (Vec::new(), None);
        Ok(Fleet { hub, members, members_wanted, processes, stop, git_repos, values, started })
    }

    /// Starts the members, tells where everything is, follows the repository and shows it.
    async fn serve(
        &mut self,
        args: &UpArgs,
        source: &Source,
        data: &Data,
        ui: &mut Ui,
    ) -> anyhow::Result<()> {
        ui.out(&format!("{:<10} {}\n", self.hub.name, self.hub.url()))?;
        for number in 1..=self.members_wanted {
            let member = start_member(args, data, number).await?;
            ui.out(&format!("{:<10} {}\n", member.name, member.url()))?;
            ui.flush()?;
            self.join(member, number).await?;
        }
        let clusters: Vec<&Cluster> = std::iter::once(&self.hub).chain(&self.members).collect();
        kubeconfig::write_kubeconfig(&data.path().join(KUBECONFIG), &clusters)?;
        let repo = git_repo(&self.hub, source).await?;
        let queue = self.git_repos.clone();
        let _watcher = source.watch_commits(move || queue.add(repo.clone()))?;
        self.look(args, source, data, ui).await
    }

    /// Registers a member and starts its agent.
    async fn join(&mut self, member: Cluster, number: u16) -> anyhow::Result<()> {
        let env = if number.is_multiple_of(2) { "prod" } else { "dev" };
        let cluster_labels = BTreeMap::from([("env".to_owned(), env.to_owned())]);
        // Known by its name before it registers, so that it is not called `cluster-` and a hash.
        let cluster = json!({"apiVersion": labels::API_VERSION, "kind": "Cluster",
            "metadata": {"name": member.name, "namespace": WORKSPACE, "labels": cluster_labels},
            "spec": {"clientID": member.name}});
        let clusters = objects::fleet(WORKSPACE, "clusters");
        objects::ensure(&self.hub.client, &clusters, &cluster).await?;
        let is_registered = address::follow_hub(&member, &self.hub).await?;
        if !is_registered && self.values.is_none() {
            self.values = Some(install::registration_values(&self.hub.client).await?);
        }
        let values = self.values.as_ref().filter(|_| !is_registered);
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

    /// Shows the picture for ever, or until everything is ready when that was asked for.
    async fn look(
        &mut self,
        args: &UpArgs,
        source: &Source,
        data: &Data,
        ui: &mut Ui,
    ) -> anyhow::Result<()> {
        let mut board = Board::new();
        let mut has_told = false;
        loop {
            let picture = Picture::observe(&self.hub.client).await?;
            board.show(&picture, ui)?;
            if picture.is_ready() && !has_told {
                has_told = true;
                let seconds = self.started.elapsed().as_secs_f64();
                ui.out(&format!("\nReady after {seconds:.1} s."))?;
                if args.until_ready {
                    return ui.out("\n");
                }
                ui.out(" Try next, in another terminal:\n\n")?;
                for command in next_commands(self.members.len(), source, data.path()) {
                    ui.out(&format!("  {command}\n"))?;
                }
                ui.out(&how_it_ends(args, data))?;
                ui.flush()?;
                board.leave();
            }
            tokio::select! {
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

async fn start_member(args: &UpArgs, data: &Data, number: u16) -> anyhow::Result<Cluster> {
    let delay = Duration::from_millis(args.ready_after);
    Cluster::start(Start {
        name: &member_name(number),
        data: (!args.memory).then_some(data.path()),
        port: if args.port == 0 { 0 } else { args.port + number },
        simulation: (!args.no_simulation).then_some(Simulation { ready_after: delay }),
    })
    .await
}

/// Ctrl-C, a polite request by the system, or `fleet down`.
async fn asked_to_end(data: &Data) {
    let down = async {
        while !data.is_asked_to_end() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = down => {}
        () = asked_by_the_system() => {}
    }
}

async fn asked_by_the_system() {
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
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
    objects::ensure(&hub.client, &objects::fleet(WORKSPACE, "gitrepos"), &repo).await?;
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

/// Three commands that work as they are printed.
fn next_commands(members_count: usize, source: &Source, data: &Path) -> [String; 3] {
    let kubectl = format!("kubectl --kubeconfig {}", quoted(&data.join(KUBECONFIG)));
    let last = format!("{kubectl} --context member-{members_count}");
    let bundles = format!("{kubectl} get bundles,clusters -A");
    let Some(folder) = source.folder.as_deref() else {
        return [
            bundles,
            format!("{kubectl} get bundledeployments -A"),
            format!("{last} get deployments,configmaps -A"),
        ];
    };
    let shown = quoted(folder);
    if !source.is_quickstart {
        return [
            format!("git -C {shown} commit --allow-empty -m 'try fleet'"),
            bundles,
            format!("{last} get deployments,configmaps -A"),
        ];
    }
    let file = quoted(&folder.join("namespace/greeting.yaml"));
    // BSD's sed wants a suffix for the copy that it keeps, an empty one included.
    let in_place = if cfg!(target_os = "linux") { "-i" } else { "-i ''" };
    [
        format!(
            "sed {in_place} 's/hello from git/hello again/' {file} && git -C {shown} commit -qam 'hello again'"
        ),
        bundles,
        format!("{last} get configmap greeting -n quickstart -o yaml"),
    ]
}

fn how_it_ends(args: &UpArgs, data: &Data) -> String {
    // As this process was called: after `cargo run`, `fleet` is on nobody's path.
    let fleet = std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "fleet".into());
    let (fleet, data) = (quoted(&fleet), data.argument());
    let then = match args.memory {
        true => "nothing is kept".to_owned(),
        false => format!("`{fleet} up{data}` goes on from there"),
    };
    format!("\nCtrl-C or `{fleet} down{data}` ends it; {then}.\n")
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
