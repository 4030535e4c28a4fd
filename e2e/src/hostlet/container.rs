//! A container as a host process.
//!
//! Owns environment, mounts and the command line. Knows nothing of restarts. Start at [`command`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret, VolumeMount};
use kube::{Api, Client, ResourceExt as _};

use super::HostletConfig;

/// What a container is started with.
pub(super) struct Launch<'a> {
    pub(super) config: &'a HostletConfig,
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    /// Folder of the pod.
    pub(super) folder: &'a Path,
    /// Folder of each volume.
    pub(super) volumes: &'a BTreeMap<String, PathBuf>,
    pub(super) log: &'a Path,
}

/// Whether the program of a container is in the folder of programs.
pub(super) fn has_program(config: &HostletConfig, container: &Container) -> bool {
    let word = container.command.iter().flatten().next();
    word.is_some_and(|word| !word.contains('/') && config.programs.join(word).is_file())
}

/// The command that runs a container: `unshare` makes a mount namespace, a shell binds the volumes
/// where the pod wants them and becomes the program, so the process keeps its id.
///
/// # Errors
/// When a variable names an object that is missing, or the log cannot be opened.
pub(super) async fn command(launch: &Launch<'_>) -> Result<Command> {
    use std::os::unix::process::CommandExt as _;
    let mut env = environment(launch).await?;
    let script = mount_script(launch, &mut env);
    let words = launch.container.command.iter().flatten();
    let words = words.chain(launch.container.args.iter().flatten());
    let words: Vec<String> = words.map(|word| expand(word, &env)).collect();
    let log = std::fs::File::options().create(true).append(true).open(launch.log)?;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args(words)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    Ok(command)
}

async fn environment(launch: &Launch<'_>) -> Result<BTreeMap<String, String>> {
    let home = launch.folder.join("home");
    std::fs::create_dir_all(&home)?;
    let server = launch.config.server.trim_start_matches("https://");
    let (host, port) = server.rsplit_once(':').context("server without a port")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), format!("{}:{path}", launch.config.programs.display())),
        ("HOME".to_owned(), home.display().to_string()),
        ("HOSTNAME".to_owned(), launch.pod.name_any()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_owned()),
    ]);
    for variable in launch.container.env.iter().flatten() {
        if let Some(value) = variable_value(launch, variable).await? {
            let value = expand(&value, &env);
            env.insert(variable.name.clone(), value);
        }
    }
    env.extend(launch.config.env.iter().cloned());
    Ok(env)
}

async fn variable_value(launch: &Launch<'_>, variable: &EnvVar) -> Result<Option<String>> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(variable.value.clone().unwrap_or_default()));
    };
    let namespace = launch.pod.namespace().unwrap_or_default();
    let client = || Client::clone(&launch.config.client);
    if let Some(field) = &source.field_ref {
        return Ok(Some(field_value(launch.pod, &field.field_path)));
    }
    if let Some(key) = &source.config_map_key_ref {
        let api: Api<ConfigMap> = Api::namespaced(client(), &namespace);
        let object = api.get_opt(&key.name).await?;
        let value = object.and_then(|object| object.data?.remove(&key.key));
        return required(value, key.optional, || format!("configmap {} {}", key.name, key.key));
    }
    if let Some(key) = &source.secret_key_ref {
        let api: Api<Secret> = Api::namespaced(client(), &namespace);
        let object = api.get_opt(&key.name).await?;
        let value = object.and_then(|object| object.data?.remove(&key.key));
        let value = value.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
        return required(value, key.optional, || format!("secret {} {}", key.name, key.key));
    }
    Ok(None)
}

fn required(
    value: Option<String>,
    optional: Option<bool>,
    what: impl Fn() -> String,
) -> Result<Option<String>> {
    if value.is_none() && optional != Some(true) {
        anyhow::bail!("{} not found", what());
    }
    Ok(value)
}

/// The value of a field of a pod, as `fieldRef` names it.
pub(super) fn field_value(pod: &Pod, path: &str) -> String {
    let spec = pod.spec.as_ref();
    match path {
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.name" => pod.name_any(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => super::NODE.to_owned(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.podIP" | "status.hostIP" => "127.0.0.1".to_owned(),
        _ => String::new(),
    }
}

/// Replaces `$(NAME)` by the variable of that name; one that is not set stays as it is.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let Some(length) = rest[start..].find(')') else { break };
        let name = &rest[start + 2..start + length];
        result.push_str(&rest[..start]);
        match env.get(name) {
            Some(value) => result.push_str(value),
            None => result.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    result + rest
}

/// The shell script that binds volumes and becomes the program.
fn mount_script(launch: &Launch<'_>, env: &mut BTreeMap<String, String>) -> String {
    // A /run of its own: the place for service accounts must be creatable on any machine.
    let mut script = "set -e; mount --make-rprivate /; mount -t tmpfs none /run; ".to_owned();
    for mount in launch.container.volume_mounts.iter().flatten() {
        let Some(source) = launch.volumes.get(&mount.name).map(|path| source(path, mount)) else {
            continue;
        };
        let target = mount.mount_path.trim_end_matches('/');
        if target == "/tmp" {
            // The programs themselves may lie below /tmp.
            env.insert("TMPDIR".to_owned(), source.display().to_string());
            continue;
        }
        let top_level = Path::new(target).parent() == Some(Path::new("/"));
        if top_level && !Path::new(target).exists() {
            // A mount point at the top would have to be made on the host; HOME serves as well.
            continue;
        }
        let (source, target) = (quote(&source.display().to_string()), quote(target));
        let made = if source_is_folder(launch, mount) {
            write!(script, "mkdir -p {target}; ")
        } else {
            write!(script, "mkdir -p \"$(dirname {target})\"; touch {target}; ")
        };
        debug_assert!(made.is_ok(), "a String takes everything");
        script.push_str(&format!("mount --bind {source} {target}; "));
    }
    let folder = launch.container.working_dir.as_deref().unwrap_or("/");
    script.push_str(&format!("cd {} 2>/dev/null || cd /; exec \"$@\"", quote(folder)));
    script
}

fn source(volume: &Path, mount: &VolumeMount) -> PathBuf {
    mount.sub_path.as_ref().map_or_else(|| volume.to_owned(), |path| volume.join(path))
}

fn source_is_folder(launch: &Launch<'_>, mount: &VolumeMount) -> bool {
    launch.volumes.get(&mount.name).is_some_and(|path| source(path, mount).is_dir())
}

/// A word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
