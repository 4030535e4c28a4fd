//! Values that differ by cluster, and where values are kept.
//!
//! Owns the label substitution and `${ }` templates of Fleet 0.16 (fleet-yaml 2.11), and how values
//! leave a Bundle and a BundleDeployment for their Secrets (2.12). Must not know Secrets' objects.
//! Start at [`resolve_values`].

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gotemplate::{Budget, Delimiters, ErrorKind, FixedHost, Registry, Scope, Template};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::bundle::BundleSpec;
use crate::api::bundle_deployment::BundleDeploymentSpec;
use crate::api::labels;
use crate::api::options::{BundleDeploymentOptions, HelmOptions};
use crate::api::wire::Object;
use crate::content::{bundle_values_hash, deployment_values_hash, values_document};
use crate::error::{Classify, ErrorClass};
use crate::target::ClusterView;
use crate::target::selector::Labels;

/// Values that begin with this are replaced by the cluster's label of the name that follows.
const LABEL_PREFIX: &str = "global.fleet.clusterLabels.";

/// The deepest nesting in which labels are substituted (Fleet 0.16).
const MAX_DEPTH: usize = 50;

/// Why the values of one cluster could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValuesError {
    /// A template that does not parse.
    #[error("failed to parse helm values template: {message}")]
    Parse {
        /// The engine's words, with position.
        message: String,
    },
    /// A template that does not render, for example for want of a label.
    #[error("failed to render helm values template: {message}")]
    Render {
        /// The engine's words, with position.
        message: String,
    },
    /// A template that renders to something else than values.
    #[error("failed to interpret rendered template as helm values: {message}")]
    Interpret {
        /// In words.
        message: String,
    },
    /// Values nested too deeply.
    #[error(
        "maximum recursion depth of {MAX_DEPTH} exceeded for cluster label prefix processing, too many nested values"
    )]
    TooDeep,
    /// Stored values that are not JSON.
    #[error("stored values under key {key:?} are not a JSON object")]
    Stored {
        /// Key of the Secret.
        key: String,
    },
    /// A target whose values have no key to be stored under.
    #[error("target name is required: targets[{index}] has values but no name")]
    TargetName {
        /// Position in `spec.targets`, from 0.
        index: usize,
    },
    /// Values that are not what their hash says.
    #[error("hash mismatch between secret and object: actual {found} != expected {expected}")]
    Hash {
        /// The hash that was asked for.
        expected: String,
        /// The hash of the values at hand.
        found: String,
    },
}

impl Classify for ValuesError {
    fn class(&self) -> ErrorClass {
        match self {
            // Secret and object are written one after the other: a moment later they agree.
            Self::Hash { .. } => ErrorClass::Conflict,
            _ => ErrorClass::User,
        }
    }
}

/// The labels of a cluster that templates see: no `kubectl` ones, no `cattle.io` ones but Fleet's
/// and Rancher's cluster labels. Without any, values are left alone (Fleet 0.16).
pub(crate) fn template_labels(cluster: &ClusterView) -> Labels {
    let mut visible = without_machine_keys(&cluster.labels);
    let ours = cluster.labels.iter().filter(|(key, _)| {
        key.starts_with("fleet.cattle.io/") || key.starts_with("management.cattle.io/")
    });
    visible.extend(ours.map(|(key, value)| (key.clone(), value.clone())));
    visible
}

/// Keys that people wrote: those of kubectl and of Rancher's controllers left out.
pub(crate) fn without_machine_keys(map: &Labels) -> Labels {
    let by_people = map.iter().filter(|(key, _)| {
        !key.starts_with("kubectl.kubernetes.io/") && !key.contains("cattle.io/")
    });
    by_people.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// True when clusters with labels may get different values from these options.
pub(super) fn needs_cluster(options: &BundleDeploymentOptions) -> bool {
    let Some(helm) = &options.helm else { return false };
    let templates = !helm.disable_pre_process;
    let values = helm.values.as_ref();
    templates && !helm.template_values.is_empty()
        || values.is_some_and(|values| values.iter().any(|(k, v)| is_special(k, v, templates)))
}

/// True when options may need the cluster once they are merged with others, which may allow
/// templates that these forbid.
pub(crate) fn may_need_cluster(options: &BundleDeploymentOptions) -> bool {
    let Some(helm) = &options.helm else { return false };
    let values = helm.values.as_ref();
    !helm.template_values.is_empty()
        || values.is_some_and(|values| values.iter().any(|(k, v)| is_special(k, v, true)))
}

fn is_special(key: &str, value: &Value, templates: bool) -> bool {
    let holds_template = |text: &str| templates && text.contains("${");
    holds_template(key)
        || match value {
            Value::String(text) => text.starts_with(LABEL_PREFIX) || holds_template(text),
            Value::Array(items) => items.iter().any(|item| is_special("", item, templates)),
            Value::Object(members) => members.iter().any(|(k, v)| is_special(k, v, templates)),
            _ => false,
        }
}

/// Fills in the values of a cluster that has `labels` (not empty).
///
/// # Errors
/// A template that does not parse, does not render, or renders to something else than values.
pub(super) fn resolve_values(
    options: &BundleDeploymentOptions,
    cluster: &ClusterView,
    labels: &Labels,
    now: Timestamp,
) -> Result<BundleDeploymentOptions, ValuesError> {
    let mut resolved = options.clone();
    let Some(helm) = &mut resolved.helm else {
        // An empty block, without values: part of the deployment id of Fleet 0.16.
        resolved.helm = Some(HelmOptions::default());
        return Ok(resolved);
    };
    let values = helm.values.get_or_insert_default();
    if helm.template_values.is_empty() && values.is_empty() {
        return Ok(resolved);
    }
    substitute_labels(values, labels, 0)?;
    if helm.disable_pre_process {
        return Ok(resolved);
    }
    let renderer = Renderer::new(&template_data(cluster, labels), now);
    let mut rendered = render_values(values, &renderer)?;
    for (key, template) in &helm.template_values {
        let text = renderer.render(template)?;
        let value = goyaml::from_str(&text).map_err(|error| ValuesError::Interpret {
            message: format!("templateValues.{key}: line {}: {}", error.line, error.message),
        })?;
        rendered.insert(key.clone(), goyaml::json::go_number_value(value));
    }
    *values = rendered;
    Ok(resolved)
}

fn substitute_labels(
    values: &mut Object,
    labels: &Labels,
    depth: usize,
) -> Result<(), ValuesError> {
    if depth > MAX_DEPTH {
        return Err(ValuesError::TooDeep);
    }
    for value in values.values_mut() {
        match value {
            Value::String(text) => {
                if let Some(label) = text.strip_prefix(LABEL_PREFIX) {
                    *text = labels.get(label).cloned().unwrap_or_default();
                }
            }
            Value::Object(members) => substitute_labels(members, labels, depth + 1)?,
            Value::Array(items) => {
                for members in items.iter_mut().filter_map(Value::as_object_mut) {
                    substitute_labels(members, labels, depth + 1)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn template_data(cluster: &ClusterView, labels: &Labels) -> Value {
    json!({
        "ClusterNamespace": cluster.namespace,
        "ClusterName": cluster.name,
        "ClusterLabels": labels,
        "ClusterAnnotations": without_machine_keys(&cluster.annotations),
        "ClusterValues": goyaml::json::go_number_value(Value::Object(cluster.template_values.clone())),
    })
}

/// Renders all values as one YAML text and reads them again: so a key may be a template, and a
/// template may become a number.
fn render_values(values: &Object, renderer: &Renderer) -> Result<Object, ValuesError> {
    let template = goyaml::to_string(&Value::Object(values.clone()));
    if !template.contains("${") {
        return Ok(values.clone());
    }
    let text = renderer.render(&template)?;
    match goyaml::from_str(&text) {
        Ok(value @ Value::Object(_)) => match goyaml::json::go_number_value(value) {
            Value::Object(values) => Ok(values),
            _ => Ok(Object::new()),
        },
        Ok(Value::Null) => Ok(Object::new()),
        Ok(_) => Err(ValuesError::Interpret { message: "the values are not a map".to_owned() }),
        Err(error) => Err(ValuesError::Interpret {
            message: format!("line {}: {}", error.line, error.message),
        }),
    }
}

/// The functions of value templates: sprig without what reaches the world.
///
/// Random functions are missing on purpose: they would give new values, and a redeploy, in every
/// pass (which is what Fleet 0.16 does).
static FUNCTIONS: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::sprig();
    let unfit = |name: &str| {
        ["rand", "gen", "shuffle", "uuidv4", "bcrypt", "htpasswd", "encryptAES"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || ["env", "expandenv", "include", "tpl", "getHostByName"].contains(&name)
    };
    let names: Vec<String> =
        registry.names().filter(|name| unfit(name)).map(str::to_owned).collect();
    names.iter().for_each(|name| registry.remove(name));
    registry
});

/// Renders the templates of one cluster's values within one budget.
struct Renderer {
    data: gotemplate::Value,
    scope: Scope,
}

impl Renderer {
    fn new(data: &Value, now: Timestamp) -> Self {
        let host = Arc::new(FixedHost::new(now.as_nanosecond(), 0));
        let scope = Scope { host, budget: Arc::new(Budget::default()) };
        Self { data: gotemplate::value::from_json(data), scope }
    }

    fn render(&self, text: &str) -> Result<String, ValuesError> {
        let failed = |error: gotemplate::Error| {
            let message = error.text().to_owned();
            match error.kind() {
                ErrorKind::Parse => ValuesError::Parse { message },
                _ => ValuesError::Render { message },
            }
        };
        let template = Template::parse("values", text, &Delimiters::new("${", "}"), &FUNCTIONS);
        template.and_then(|template| template.render(&self.data, &self.scope)).map_err(failed)
    }
}

/// Takes the values out of a Bundle's spec: what its values Secret holds. Sets `valuesHash`.
///
/// # Errors
/// A target with values but without a name.
pub fn extract_bundle_values(
    spec: &mut BundleSpec,
) -> Result<BTreeMap<String, Vec<u8>>, ValuesError> {
    let mut data = BTreeMap::new();
    if let Some(values) = spec.options.values() {
        data.insert(labels::VALUES_YAML_KEY.to_owned(), values_document(values));
    }
    for (index, target) in spec.targets.iter().enumerate() {
        let Some(values) = target.options.values() else { continue };
        if target.name.is_empty() {
            return Err(ValuesError::TargetName { index });
        }
        data.insert(target.name.clone(), values_document(values));
    }
    spec.values_hash = bundle_values_hash(&data);
    if !data.is_empty() {
        let own = spec.targets.iter_mut().map(|target| &mut target.options);
        for helm in std::iter::once(&mut spec.options).chain(own).filter_map(|o| o.helm.as_mut()) {
            helm.values = None;
            helm.values_files.clear();
        }
    }
    Ok(data)
}

/// Puts the values of a Bundle's values Secret back into its spec.
///
/// # Errors
/// Values that are not what `valuesHash` says, or not JSON.
pub fn restore_bundle_values(
    spec: &mut BundleSpec,
    data: &BTreeMap<String, Vec<u8>>,
) -> Result<(), ValuesError> {
    let found = bundle_values_hash(data);
    if found != spec.values_hash {
        return Err(ValuesError::Hash { expected: spec.values_hash.clone(), found });
    }
    let named = spec.targets.iter_mut().map(|target| (target.name.clone(), &mut target.options));
    let common = std::iter::once((labels::VALUES_YAML_KEY.to_owned(), &mut spec.options));
    for (key, options) in common.chain(named) {
        if let Some(bytes) = data.get(&key).filter(|bytes| !bytes.is_empty()) {
            options.helm.get_or_insert_default().values = Some(parse_values(&key, bytes)?);
        }
    }
    Ok(())
}

fn parse_values(key: &str, bytes: &[u8]) -> Result<Object, ValuesError> {
    serde_json::from_slice(bytes).map_err(|_| ValuesError::Stored { key: key.to_owned() })
}

/// What the values Secret of a BundleDeployment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentValues {
    /// Values of the promoted options; empty when there are none.
    pub values: Vec<u8>,
    /// Values of the staged options; empty when there are none.
    pub staged: Vec<u8>,
}

impl DeploymentValues {
    /// The hash that stands in the BundleDeployment; empty when no Secret is needed.
    pub fn hash(&self) -> String {
        deployment_values_hash(&self.values, &self.staged)
    }
}

/// Takes the values out of a BundleDeployment's spec. Sets `valuesHash`.
pub fn extract_deployment_values(spec: &mut BundleDeploymentSpec) -> DeploymentValues {
    let document = |options: &BundleDeploymentOptions| {
        options.values().map(values_document).unwrap_or_default()
    };
    let extracted = DeploymentValues {
        values: document(&spec.options),
        staged: document(&spec.staged_options),
    };
    for helm in
        [&mut spec.options, &mut spec.staged_options].into_iter().filter_map(|o| o.helm.as_mut())
    {
        helm.values = None;
    }
    spec.values_hash = extracted.hash();
    extracted
}

/// Puts the values of a BundleDeployment's Secret back into its spec.
///
/// # Errors
/// Values that are not what `valuesHash` says, or not JSON.
pub fn restore_deployment_values(
    spec: &mut BundleDeploymentSpec,
    stored: &DeploymentValues,
) -> Result<(), ValuesError> {
    let found = stored.hash();
    if found != spec.values_hash {
        return Err(ValuesError::Hash { expected: spec.values_hash.clone(), found });
    }
    for (key, bytes, options) in [
        (labels::VALUES_KEY, &stored.values, &mut spec.options),
        (labels::STAGED_VALUES_KEY, &stored.staged, &mut spec.staged_options),
    ] {
        if !bytes.is_empty() {
            options.helm.get_or_insert_default().values = Some(parse_values(key, bytes)?);
        }
    }
    Ok(())
}
