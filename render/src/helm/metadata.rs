//! Chart.yaml and requirements.yaml.
//!
//! Owns their fields, checks and the map that templates see as `.Chart`. Start at
//! [`Metadata::parse`].

use gotemplate::funcs::semver::Version;
use gotemplate::value::{self, Entries};
use serde_json::{Map, Value as Json};

use super::error::Error;

/// What Chart.yaml says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The chart's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `v1` or `v2`.
    pub api_version: String,
    /// The version of what it installs.
    pub app_version: String,
    /// A constraint on the Kubernetes version.
    pub kube_version: String,
    /// `application`, `library`, or empty.
    pub kind: String,
    /// One sentence.
    pub description: String,
    /// The project's page.
    pub home: String,
    /// An icon's address.
    pub icon: String,
    /// Unused by Helm.
    pub condition: String,
    /// Unused by Helm.
    pub tags: String,
    /// Whether the chart is deprecated.
    pub deprecated: bool,
    /// Source addresses.
    pub sources: Vec<String>,
    /// Keywords.
    pub keywords: Vec<String>,
    /// Name, email and address of each maintainer.
    pub maintainers: Vec<[String; 3]>,
    /// Free annotations.
    pub annotations: Option<Vec<(String, String)>>,
    /// The charts it depends on; `None` if the list is absent.
    pub dependencies: Option<Vec<Dependency>>,
}

/// One entry of the dependencies list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dependency {
    /// The name; after processing the alias, if there is one.
    pub name: String,
    /// A version constraint.
    pub version: String,
    /// Where it comes from.
    pub repository: String,
    /// Paths into the values, separated by commas; the first that is a bool decides.
    pub condition: String,
    /// Names below the value `tags`.
    pub tags: Vec<String>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What the parent takes over from its values.
    pub import_values: Vec<Json>,
    /// Another name for it.
    pub alias: String,
}

/// Reads fields as Go's JSON decoder does: names in any case, scalars where text is wanted.
struct Fields<'a> {
    map: &'a Map<String, Json>,
    path: &'static str,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Json> {
        let found = self.map.get(name).or_else(|| {
            self.map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, json)| json)
        });
        found.filter(|json| !json.is_null())
    }

    fn wrong(&self, name: &str, json: &Json, wanted: &str) -> String {
        let found = match json {
            Json::Object(_) => "object",
            Json::Array(_) => "array",
            Json::String(_) => "string",
            Json::Bool(_) => "bool",
            _ => "number",
        };
        format!("cannot unmarshal {found} into field {}.{name} of type {wanted}", self.path)
    }

    fn text(&self, name: &str) -> Result<String, String> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(json) => scalar_text(json).ok_or_else(|| self.wrong(name, json, "string")),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(false),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(json) => Err(self.wrong(name, json, "bool")),
        }
    }

    fn list(&self, name: &str) -> Result<&'a [Json], String> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Json::Array(items)) => Ok(items),
            Some(json) => Err(self.wrong(name, json, "list")),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let text = |json| scalar_text(json).ok_or_else(|| self.wrong(name, json, "string"));
        self.list(name)?.iter().map(text).collect()
    }
}

/// A scalar where text is wanted, as Go's YAML library turns it into one.
pub(crate) fn scalar_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Number(number) => Some(match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => gotemplate::print::float_text(number.as_f64().unwrap_or_default()),
        }),
        Json::Null => Some(String::new()),
        _ => None,
    }
}

impl Metadata {
    /// Reads Chart.yaml.
    ///
    /// # Errors
    /// What is no YAML or has the wrong shape.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json = goyaml::from_str(text).map_err(|e| e.to_string())?;
        let mut metadata = Self::default();
        metadata.read(&json)?;
        if metadata.api_version.is_empty() {
            metadata.api_version = "v1".to_owned();
        }
        Ok(metadata)
    }

    /// Takes the dependencies of a requirements.yaml over.
    ///
    /// # Errors
    /// What is no YAML or has the wrong shape.
    pub fn read_requirements(&mut self, text: &str) -> Result<(), String> {
        let json = goyaml::from_str(text).map_err(|e| e.to_string())?;
        let Json::Object(map) = &json else { return not_a_map(&json) };
        let fields = Fields { map, path: "Metadata" };
        if fields.get("dependencies").is_some() {
            self.dependencies = Some(dependencies(&fields)?);
        }
        Ok(())
    }

    fn read(&mut self, json: &Json) -> Result<(), String> {
        let Json::Object(map) = json else { return not_a_map(json) };
        let fields = Fields { map, path: "Metadata" };
        self.name = fields.text("name")?;
        self.version = fields.text("version")?;
        self.api_version = fields.text("apiVersion")?;
        self.app_version = fields.text("appVersion")?;
        self.kube_version = fields.text("kubeVersion")?;
        self.kind = fields.text("type")?;
        self.description = fields.text("description")?;
        self.home = fields.text("home")?;
        self.icon = fields.text("icon")?;
        self.condition = fields.text("condition")?;
        self.tags = fields.text("tags")?;
        self.deprecated = fields.flag("deprecated")?;
        self.sources = fields.texts("sources")?;
        self.keywords = fields.texts("keywords")?;
        for maintainer in fields.list("maintainers")? {
            let Json::Object(map) = maintainer else { continue };
            let fields = Fields { map, path: "Maintainer" };
            self.maintainers.push([
                fields.text("name")?,
                fields.text("email")?,
                fields.text("url")?,
            ]);
        }
        self.annotations = match fields.get("annotations") {
            None => None,
            Some(Json::Object(map)) => {
                let fields = Fields { map, path: "Metadata.annotations" };
                let mut pairs = Vec::new();
                for name in map.keys() {
                    pairs.push((name.clone(), fields.text(name)?));
                }
                Some(pairs)
            }
            Some(json) => return Err(fields.wrong("annotations", json, "map[string]string")),
        };
        if fields.get("dependencies").is_some() {
            self.dependencies = Some(dependencies(&fields)?);
        }
        Ok(())
    }

    /// Checks what Helm checks, and replaces characters that must not reach templates.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub fn validate(&mut self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Metadata(text));
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            *text = sanitize(text);
        }
        for text in self.sources.iter_mut().chain(&mut self.keywords) {
            *text = sanitize(text);
        }
        for text in self.maintainers.iter_mut().flatten() {
            *text = sanitize(text);
        }
        if self.name.is_empty() {
            return invalid("chart.metadata.name is required".to_owned());
        }
        if self.name == "." || self.name == ".." {
            return invalid(format!("chart.metadata.name {:?} is not allowed", self.name));
        }
        if self.name.contains('/') {
            return invalid(format!("chart.metadata.name {:?} is invalid", self.name));
        }
        if self.version.is_empty() {
            return invalid("chart.metadata.version is required".to_owned());
        }
        if Version::parse(&self.version).is_err() {
            return invalid(format!("chart.metadata.version {:?} is invalid", self.version));
        }
        if !matches!(&*self.kind, "" | "application" | "library") {
            return invalid("chart.metadata.type must be application or library".to_owned());
        }
        let mut seen = std::collections::BTreeSet::new();
        for dependency in self.dependencies.iter_mut().flatten() {
            dependency.validate()?;
            let key =
                if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
            if !seen.insert(key.clone()) {
                return invalid(format!("more than one dependency with name or alias {key:?}"));
            }
        }
        Ok(())
    }

    /// Whether the chart only holds definitions for others.
    #[must_use]
    pub fn is_library(&self) -> bool {
        self.kind.eq_ignore_ascii_case("library")
    }

    /// What templates see as `.Chart`: the fields by their Go names.
    pub(crate) fn to_entries(&self, is_root: bool) -> Entries {
        let text = |text: &String| gotemplate::Value::from(text.as_str());
        let texts = |texts: &[String]| value::list(texts.iter().map(text).collect());
        let pairs = [
            ("Name", text(&self.name)),
            ("Home", text(&self.home)),
            ("Sources", texts(&self.sources)),
            ("Version", text(&self.version)),
            ("Description", text(&self.description)),
            ("Keywords", texts(&self.keywords)),
            ("Maintainers", value::list(self.maintainers.iter().map(maintainer).collect())),
            ("Icon", text(&self.icon)),
            ("APIVersion", text(&self.api_version)),
            ("Condition", text(&self.condition)),
            ("Tags", text(&self.tags)),
            ("AppVersion", text(&self.app_version)),
            ("Deprecated", self.deprecated.into()),
            ("Annotations", annotations(self.annotations.as_deref())),
            ("KubeVersion", text(&self.kube_version)),
            (
                "Dependencies",
                value::list(self.dependencies.iter().flatten().map(Dependency::to_value).collect()),
            ),
            ("Type", text(&self.kind)),
            ("IsRoot", is_root.into()),
        ];
        pairs.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }
}

fn not_a_map(json: &Json) -> Result<(), String> {
    if json.is_null() { Ok(()) } else { Err("it is not a map".to_owned()) }
}

fn maintainer([name, email, url]: &[String; 3]) -> gotemplate::Value {
    let pairs = [("Name", name), ("Email", email), ("URL", url)];
    value::dict(pairs.into_iter().map(|(key, text)| (key.into(), text.as_str().into())).collect())
}

fn annotations(pairs: Option<&[(String, String)]>) -> gotemplate::Value {
    let entries = pairs.unwrap_or_default();
    let entries = entries.iter().map(|(key, text)| (key.as_str().into(), text.as_str().into()));
    let dict = value::Dict::typed("map[string]string", entries.collect());
    gotemplate::Value::from_object(dict)
}

fn dependencies(fields: &Fields<'_>) -> Result<Vec<Dependency>, String> {
    let mut dependencies = Vec::new();
    for json in fields.list("dependencies")? {
        let Json::Object(map) = json else {
            return Err("dependencies must not contain empty or null nodes".to_owned());
        };
        let fields = Fields { map, path: "Dependency" };
        dependencies.push(Dependency {
            name: fields.text("name")?,
            version: fields.text("version")?,
            repository: fields.text("repository")?,
            condition: fields.text("condition")?,
            tags: fields.texts("tags")?,
            enabled: fields.flag("enabled")?,
            import_values: fields.list("import-values")?.to_vec(),
            alias: fields.text("alias")?,
        });
    }
    Ok(dependencies)
}

impl Dependency {
    fn validate(&mut self) -> Result<(), Error> {
        for text in [&mut self.name, &mut self.version, &mut self.repository, &mut self.condition] {
            *text = sanitize(text);
        }
        for tag in &mut self.tags {
            *tag = sanitize(tag);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !self.alias.chars().all(plain) {
            return Err(Error::Metadata(format!(
                "dependency {:?} has disallowed characters in the alias",
                self.name
            )));
        }
        Ok(())
    }

    fn to_value(&self) -> gotemplate::Value {
        let text = |text: &String| gotemplate::Value::from(text.as_str());
        let imports = self.import_values.iter().map(value::from_json).collect();
        let pairs = [
            ("Name", text(&self.name)),
            ("Version", text(&self.version)),
            ("Repository", text(&self.repository)),
            ("Condition", text(&self.condition)),
            ("Tags", value::list(self.tags.iter().map(text).collect())),
            ("Enabled", self.enabled.into()),
            ("ImportValues", value::list(imports)),
            ("Alias", text(&self.alias)),
        ];
        value::dict(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

// Space of any kind becomes a space; what cannot be printed goes.
fn sanitize(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_text_where_text_is_wanted() {
        let metadata =
            Metadata::parse("name: x\nversion: 1.10\nappVersion: 3\napiVersion: v2\n").unwrap();
        assert_eq!(metadata.version, "1.1");
        assert_eq!(metadata.app_version, "3");
    }

    #[test]
    fn two_dependencies_of_one_name_are_refused() {
        let text = "name: x\nversion: 1.0.0\ndependencies:\n- name: a\n- name: b\n  alias: a\n";
        let error = Metadata::parse(text).unwrap().validate().unwrap_err();
        assert!(error.to_string().contains("more than one dependency"), "{error}");
    }
}
