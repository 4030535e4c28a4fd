//! Which kinds are served: built-in ones and those of CRDs.
//!
//! Owns [`Kind`] and the look-up by group, version and plural. Knows nothing of requests or of the
//! store. Start at [`Registry::find`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patch::schema::{Node, Schema, Shape};
use serde_json::Value;

use crate::builtin;
use crate::error::About;
use crate::store::ResourceId;

/// One column of `kubectl get`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i32,
    /// JSON path of a CRD's column; empty for built-in kinds, whose cells are computed.
    pub(crate) path: String,
}

/// A path under an object, with the kind that it speaks.
#[derive(Debug, Clone)]
pub(crate) struct Subresource {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) verbs: Vec<String>,
}

/// Where a CRD keeps its replica counts.
#[derive(Debug, Clone)]
pub(crate) struct ScalePaths {
    pub(crate) spec: String,
    pub(crate) status: String,
    pub(crate) selector: Option<String>,
}

/// Where the facts about a kind's fields come from.
#[derive(Debug)]
pub(crate) enum Source {
    Builtin,
    /// The structural schema as written, and what merging needs of it.
    Custom {
        schema: Value,
        node: Node,
        preserve_unknown: bool,
        selectable: Vec<String>,
    },
}

/// One served kind in one version.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    pub(crate) resource: ResourceId,
    pub(crate) has_status: bool,
    pub(crate) scale: Option<ScalePaths>,
    pub(crate) subresources: Vec<Subresource>,
    pub(crate) columns: Vec<Column>,
    /// No other version shares the stored objects: no conversion on read.
    pub(crate) single_version: bool,
    /// What a client is told who uses this version.
    pub(crate) deprecation: Option<String>,
    pub(crate) source: Source,
}

impl Kind {
    /// The Go package of the peer's internal type; its messages name it.
    pub(crate) fn internal_group(&self) -> &str {
        match self.group.as_str() {
            "" => "core",
            "rbac.authorization.k8s.io" => "rbac",
            group => group.split('.').next().unwrap_or(group),
        }
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.source, Source::Custom { .. })
    }

    pub(crate) fn is_crd(&self) -> bool {
        &*self.resource == CRDS
    }

    pub(crate) fn about(&self, name: &str) -> About {
        About { group: self.group.clone(), resource: self.plural.clone(), name: name.to_owned() }
    }

    pub(crate) fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    pub(crate) fn has_subresource(&self, name: &str, verb: &str) -> bool {
        self.subresources.iter().any(|s| s.name == name && s.verbs.iter().any(|v| v == verb))
    }

    /// The facts that merges need; `None` for a built-in kind without a recorded type.
    pub(crate) fn merge_schema(&self) -> Option<Schema<'_>> {
        match &self.source {
            Source::Custom { node, .. } => Some(Schema::new(builtin::types(), node)),
            Source::Builtin => {
                let name = builtin::type_name(&self.group, &self.version, &self.kind)?;
                let types = builtin::types();
                Some(Schema::new(types, types.named.get(name)?))
            }
        }
    }
}

/// The resource of CRDs in the store.
pub(crate) const CRDS: &str = "apiextensions.k8s.io/customresourcedefinitions";

type Id = (String, String, String);

/// All kinds served at one moment. Replaced as a whole when a CRD changes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    custom: BTreeMap<Id, Arc<Kind>>,
}

impl Registry {
    /// Reads the kinds of every CRD; one that is malformed serves nothing.
    pub(crate) fn from_crds<'a>(crds: impl Iterator<Item = &'a Value>) -> Registry {
        let mut custom = BTreeMap::new();
        for kind in crds.flat_map(kinds_of_crd) {
            let id = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
            custom.insert(id, Arc::new(kind));
        }
        Registry { custom }
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let builtin = builtin::kinds()
            .iter()
            .find(|k| k.plural == plural && k.group == group && k.version == version);
        if let Some(kind) = builtin {
            return Some(kind.clone());
        }
        let id = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.custom.get(&id).cloned()
    }

    /// Any version of the kind stored under `resource`.
    pub(crate) fn by_resource(&self, resource: &str) -> Option<Arc<Kind>> {
        self.all().find(|k| &*k.resource == resource)
    }

    /// The kind with this `apiVersion` and `kind`.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        self.all().find(|k| k.kind == kind && k.api_version() == api_version)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Kind>> {
        builtin::kinds().iter().chain(self.custom.values()).cloned()
    }

    /// Groups in the order of discovery: built-in ones first, each with its versions.
    pub(crate) fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut out: Vec<(String, Vec<String>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for kind in self.all() {
            if !seen.insert((kind.group.clone(), kind.version.clone())) {
                continue;
            }
            match out.iter_mut().find(|(group, _)| *group == kind.group) {
                Some((_, versions)) => versions.push(kind.version.clone()),
                None => out.push((kind.group.clone(), vec![kind.version.clone()])),
            }
        }
        for (_, versions) in &mut out {
            versions.sort_by_key(|v| std::cmp::Reverse(version_priority(v)));
        }
        out
    }
}

/// Kubernetes' order of versions: GA before beta before alpha, newer first.
fn version_priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let number = |s: &str| s.parse::<u64>().unwrap_or(0);
    if let Some((major, minor)) = rest.split_once("beta") {
        (2, number(major), number(minor))
    } else if let Some((major, minor)) = rest.split_once("alpha") {
        (1, number(major), number(minor))
    } else {
        (3, number(rest), 0)
    }
}

fn kinds_of_crd(crd: &Value) -> Vec<Kind> {
    let versions = crd["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let served = versions.iter().filter(|v| v["served"] == true).count();
    let served_versions = versions.iter().filter(|v| v["served"] == true);
    served_versions.filter_map(|v| custom_kind(crd, v, served == 1)).collect()
}

#[expect(clippy::too_many_lines, reason = "one field of a kind after the other")]
fn custom_kind(crd: &Value, version: &Value, single_version: bool) -> Option<Kind> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let texts = |v: &Value| v.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let (group, plural, kind) =
        (text(&spec["group"]), text(&names["plural"]), text(&names["kind"]));
    let (sub, name) = (&version["subresources"], version["name"].as_str()?.to_owned());
    let schema = version["schema"]["openAPIV3Schema"].clone();
    let singular = match text(&names["singular"]) {
        s if s.is_empty() => kind.to_lowercase(),
        s => s,
    };
    let has_status = sub["status"].is_object();
    let scale = sub["scale"].as_object().map(|s| ScalePaths {
        spec: s.get("specReplicasPath").map(text).unwrap_or_default(),
        status: s.get("statusReplicasPath").map(text).unwrap_or_default(),
        selector: s.get("labelSelectorPath").map(text),
    });
    let verbs = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    let mut subresources = Vec::new();
    let own = (group.clone(), name.clone(), kind.clone());
    let scale_kind = ("autoscaling".to_owned(), "v1".to_owned(), "Scale".to_owned());
    for (present, label, id) in
        [(has_status, "status", own), (scale.is_some(), "scale", scale_kind)]
    {
        if present {
            subresources.push(Subresource {
                name: label.into(),
                group: id.0,
                version: id.1,
                kind: id.2,
                verbs: verbs(&["get", "patch", "update"]),
            });
        }
    }
    let list_kind = match text(&names["listKind"]) {
        s if s.is_empty() => format!("{kind}List"),
        s => s,
    };
    let fields = version["selectableFields"].as_array().into_iter().flatten();
    let selectable = fields.map(|f| text(&f["jsonPath"]).trim_start_matches('.').to_owned());
    Some(Kind {
        resource: format!("{group}/{plural}").into(),
        namespaced: spec["scope"] == "Namespaced",
        list_kind,
        singular,
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        verbs: verbs(&[
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "create",
            "update",
            "watch",
        ]),
        has_status,
        scale,
        subresources,
        columns: custom_columns(&version["additionalPrinterColumns"]),
        single_version,
        deprecation: deprecation(crd, version),
        source: Source::Custom {
            node: merge_node(&schema),
            preserve_unknown: spec["preserveUnknownFields"] == true || schema.is_null(),
            selectable: selectable.collect(),
            schema,
        },
        group,
        version: name,
        kind,
        plural,
    })
}

fn deprecation(crd: &Value, version: &Value) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(text) = version["deprecationWarning"].as_str() {
        return Some(text.to_owned());
    }
    let (group, kind) = (crd["spec"]["group"].as_str()?, crd["spec"]["names"]["kind"].as_str()?);
    let name = version["name"].as_str()?;
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|v| v["served"] == true && v["deprecated"] != true);
    let best = served.filter_map(|v| v["name"].as_str()).max_by_key(|v| version_priority(v));
    let advice = best.filter(|b| version_priority(b) > version_priority(name));
    let advice = advice.map(|b| format!("; use {group}/{b} {kind}")).unwrap_or_default();
    Some(format!("{group}/{name} {kind} is deprecated{advice}"))
}

/// What merging needs of a custom kind; its metadata is that of every object.
fn merge_node(schema: &Value) -> Node {
    let mut node = Node::from_structural(schema);
    if node.shape != Shape::Struct {
        node.shape = Shape::Struct;
    }
    let text = Node { shape: Shape::String, ..Node::default() };
    node.fields.insert("apiVersion".into(), text.clone());
    node.fields.insert("kind".into(), text);
    let reference = Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned());
    node.fields.insert("metadata".into(), Node { reference, ..Node::default() });
    node
}

fn custom_columns(rows: &Value) -> Vec<Column> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut columns: Vec<Column> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| Column {
            name: text(&row["name"]),
            type_: text(&row["type"]),
            format: text(&row["format"]),
            description: match text(&row["description"]) {
                own if own.is_empty() => format!(
                    "Custom resource definition column (in JSONPath format): {}",
                    text(&row["jsonPath"])
                ),
                own => own,
            },
            priority: row["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
            path: text(&row["jsonPath"]),
        })
        .collect();
    if columns.is_empty() {
        columns.push(Column {
            name: "Age".into(),
            type_: "date".into(),
            description: "CreationTimestamp is a timestamp representing the server time when this object was created.".into(),
            path: ".metadata.creationTimestamp".into(),
            ..Column::default()
        });
    }
    columns
}
