//! `fleet.yaml`: what a folder says about the bundle it becomes.
//!
//! Owns its keys, how leniently it is read, and its checks. Must not know folders. Start at
//! [`FleetYaml::parse`].

mod shape;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use crate::api::bundle::{BundleSpec, BundleTarget};
use crate::api::git_repo::GitTarget;
use crate::api::image_scan::ImageScanSpec;
use crate::error::{Classify, ErrorClass};
use crate::summary::BundleState;

use shape::{KeyPath, Misfit, Shape, Step, UnknownKey};

go_struct! {
    /// A `fleet.yaml`. Everything a Bundle may say, and what becomes of it on the way there.
    pub struct FleetYaml {
        /// Replaces the name made from the folder.
        pub name: String,
        /// Labels of the Bundle.
        pub labels: BTreeMap<String, String>,
        /// Annotations of the Bundle.
        pub annotations: BTreeMap<String, String>,
        /// Everything a Bundle may say.
        inline pub spec: BundleSpec,
        /// Go behind `targets`, as customizations.
        pub target_customizations: Vec<BundleTarget>,
        /// ImageScans to create.
        pub image_scans: Vec<ImageScanEntry>,
        /// Take the place of the GitRepo's targets; even when empty.
        pub override_targets: Option<Vec<GitTarget>>,
    }
}

go_struct! {
    /// An ImageScan as `fleet.yaml` writes it.
    pub struct ImageScanEntry {
        /// Not used (Fleet 0.16); accepted.
        pub name: String,
        /// Everything an ImageScan may say.
        inline pub spec: ImageScanSpec,
    }
}

/// A key that nobody reads, probably a typing mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Path of the file in the repository.
    pub file: String,
    /// Line, from 1, where it could be found.
    pub line: Option<usize>,
    /// Path of the key, for example `helm.relaseName`.
    pub key: String,
    /// The key that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}unknown field {:?}", self.file, at_line(self.line), self.key)?;
        match &self.nearest {
            Some(nearest) => write!(f, ", did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

/// What can be wrong with a `fleet.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetYamlError {
    /// Not UTF-8.
    #[error("{file}: is not UTF-8 text")]
    Encoding {
        /// Path of the file.
        file: String,
    },
    /// Not YAML.
    #[error("{file}: line {line}: {message}")]
    Syntax {
        /// Path of the file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A value of the wrong type.
    #[error("{file}: {}{key} must be {wanted}, not {found}", at_line(*.line))]
    WrongType {
        /// Path of the file.
        file: String,
        /// Line, from 1, where it could be found.
        line: Option<usize>,
        /// Path of the key; `the document` for all of it.
        key: String,
        /// The type the key has.
        wanted: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// A value that breaks a rule.
    #[error("{file}: {}{key}: {rule}", at_line(*.line))]
    Invalid {
        /// Path of the file.
        file: String,
        /// Line, from 1, where it could be found.
        line: Option<usize>,
        /// Path of the key.
        key: String,
        /// The rule.
        rule: String,
    },
}

impl Classify for FleetYamlError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

static SHAPE: LazyLock<Shape> = LazyLock::new(shape_of::<FleetYaml>);

/// The shape of a type, from its JSON schema.
fn shape_of<T: schemars::JsonSchema>() -> Shape {
    let settings = schemars::generate::SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    Shape::of_schema(schema.as_value())
}

impl FleetYaml {
    /// Reads a `fleet.yaml`: YAML 1.1 scalars, keys without regard to case, unknown keys listed
    /// and passed over (Fleet 0.16 passes over them without a word: live finding 12).
    ///
    /// # Errors
    /// Text that is not YAML, values of the wrong type, rules broken; with file, line and key.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<(Self, Vec<UnknownField>), FleetYamlError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| FleetYamlError::Encoding { file: file.to_owned() })?;
        let document = goyaml::from_str(text).map_err(|error| FleetYamlError::Syntax {
            file: file.to_owned(),
            line: error.line,
            message: error.message,
        })?;
        let mut unknown = Vec::new();
        let fitted =
            SHAPE.fit(document, &mut unknown).map_err(|misfit| wrong_type(file, text, &misfit))?;
        let fleet_yaml: Self = match fitted {
            Value::Null => Self::default(),
            // What the shape let through and serde refuses breaks a rule on values, not on types.
            fitted => serde_json::from_value(fitted).map_err(|error| FleetYamlError::Invalid {
                file: file.to_owned(),
                line: None,
                key: "the document".to_owned(),
                rule: error.to_string(),
            })?,
        };
        fleet_yaml.check(file, text)?;
        Ok((fleet_yaml, unknown.iter().map(|key| unknown_field(file, text, key)).collect()))
    }

    fn check(&self, file: &str, text: &str) -> Result<(), FleetYamlError> {
        let invalid = |path: KeyPath, rule: String| FleetYamlError::Invalid {
            file: file.to_owned(),
            line: line_of(text, &path),
            key: path.to_string(),
            rule,
        };
        let key = |name: &str| Step::Key(name.to_owned());
        for (i, dependency) in self.spec.depends_on.iter().enumerate() {
            let path = vec![key("dependsOn"), Step::Index(i)];
            if dependency.name.is_empty() && dependency.selector.is_none() {
                let rule = "must specify either 'name' or 'selector'".to_owned();
                return Err(invalid(KeyPath(path), rule));
            }
            for (j, state) in dependency.accepted_states.iter().enumerate() {
                if BundleState::from_word(state).is_none() {
                    let path = [path, vec![key("acceptedStates"), Step::Index(j)]].concat();
                    let words = BundleState::ALL.map(BundleState::as_str).join(" ");
                    let rule = format!("invalid state {state:?}, valid values are: [{words}]");
                    return Err(invalid(KeyPath(path), rule));
                }
            }
        }
        Ok(())
    }
}

/// The line of the key at the end of a path, or of the nearest one around it.
fn line_of(text: &str, path: &KeyPath) -> Option<usize> {
    let positions = goyaml::Positions::parse(text).ok()?;
    let steps: Vec<String> = path.0.iter().map(Step::to_string).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    (1..=steps.len()).rev().find_map(|depth| positions.find(&steps[..depth])).map(|at| at.line)
}

fn wrong_type(file: &str, text: &str, misfit: &Misfit) -> FleetYamlError {
    let key = misfit.path.to_string();
    FleetYamlError::WrongType {
        file: file.to_owned(),
        line: line_of(text, &misfit.path),
        key: if key.is_empty() { "the document".to_owned() } else { key },
        wanted: misfit.wanted,
        found: misfit.found,
    }
}

fn unknown_field(file: &str, text: &str, key: &UnknownKey) -> UnknownField {
    UnknownField {
        file: file.to_owned(),
        line: line_of(text, &key.path),
        key: key.path.to_string(),
        nearest: key.nearest.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(FleetYaml, Vec<UnknownField>), FleetYamlError> {
        FleetYaml::parse("app/fleet.yaml", text.as_bytes())
    }

    #[test]
    fn a_fleet_yaml_is_read_leniently() {
        let text = "Name: 12\nlabels: {a: 1, b: yes}\nhelm:\n  values: {y: 1}\n  force: on\ntargets:\n- clusterSelector: {}\n";
        let (read, unknown) = parse(text).expect("valid");
        assert_eq!((read.name.as_str(), read.labels["a"].as_str()), ("12", "1"));
        assert_eq!(read.labels["b"], "true");
        let helm = read.spec.options.helm.expect("there is one");
        assert!(helm.force);
        // YAML 1.1: the key `y` is the boolean true (fleet-compat E.23).
        assert_eq!(helm.values.expect("there are some").keys().collect::<Vec<_>>(), ["true"]);
        assert!(read.spec.targets[0].cluster_selector.is_some());
        assert_eq!(unknown, []);
        assert_eq!(parse("").expect("empty").0, FleetYaml::default());
    }

    #[test]
    fn an_unknown_field_is_named_with_file_line_and_the_nearest_key() {
        let (_, unknown) = parse("helm:\n  relaseName: x\ndefualtNamespace: y\n").expect("valid");
        let texts: Vec<_> = unknown.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "app/fleet.yaml: line 3: unknown field \"defualtNamespace\", did you mean \"defaultNamespace\"?",
                "app/fleet.yaml: line 2: unknown field \"helm.relaseName\", did you mean \"releaseName\"?",
            ]
        );
    }

    #[test]
    fn an_error_names_file_line_key_and_type() {
        for (text, expected) in [
            ("a: b\nhelm: x\n", "app/fleet.yaml: line 2: helm must be a map, not text"),
            ("- a\n", "app/fleet.yaml: the document must be a map, not a list"),
            (
                "dependsOn:\n- {}\n",
                "app/fleet.yaml: line 2: dependsOn[0]: must specify either 'name' or 'selector'",
            ),
            (
                "dependsOn:\n- name: a\n  acceptedStates: [Ready, Bad]\n",
                "app/fleet.yaml: line 3: dependsOn[0].acceptedStates[1]: invalid state \"Bad\", valid values are: \
                 [Ready NotReady Pending OutOfSync Modified WaitApplied ErrApplied]",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), expected);
        }
        assert!(matches!(parse("a: [\n"), Err(FleetYamlError::Syntax { .. })));
    }
}
