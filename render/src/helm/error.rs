//! What can be wrong with a chart, its values or its render.

/// Why a chart could not be loaded or rendered. Texts follow Helm's where people search for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The archive cannot be read, or breaks a bound or a rule of safety.
    #[error("chart archive: {0}")]
    Archive(String),
    /// A bound on what a chart may contain was passed.
    #[error("chart has more than {limit} {what} (bound: {bound})")]
    TooLarge {
        /// The name of the bound.
        bound: &'static str,
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// There is no Chart.yaml.
    #[error("Chart.yaml file is missing")]
    NoChartYaml,
    /// A file of the chart is no YAML, or not what it should be.
    #[error("cannot load {file}: {cause}")]
    File {
        /// Its name inside the chart.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Chart.yaml says something that is not allowed.
    #[error("validation: {0}")]
    Metadata(String),
    /// A chart below `charts/` cannot be loaded.
    #[error("error unpacking subchart {name} in {parent}: {cause}")]
    Subchart {
        /// The file or folder below `charts/`.
        name: String,
        /// The chart it is in.
        parent: String,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// A rule of `.helmignore` cannot be read.
    #[error(".helmignore: {0}")]
    Ignore(String),
    /// Dependencies are listed but not there.
    #[error(
        "an error occurred while checking for chart dependencies. You may need to run 'helm \
         dependency build' to fetch missing dependencies: found in Chart.yaml, but missing in \
         charts/ directory: {0}"
    )]
    MissingDependencies(String),
    /// A library chart cannot be installed by itself.
    #[error("{0} charts are not installable")]
    NotInstallable(String),
    /// `--show-only` names a template that printed nothing.
    #[error("could not find template {0} in chart")]
    NoSuchTemplate(String),
    /// A release name that Kubernetes would not take.
    #[error(
        "release name check failed: release name {0:?}: invalid release name, must match regex \
         ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must \
         not be longer than 53"
    )]
    ReleaseName(String),
    /// `--set` and its relatives.
    #[error("failed parsing {flag} data: {cause}")]
    Set {
        /// The flag.
        flag: &'static str,
        /// What is wrong with its text.
        cause: String,
    },
    /// Values of a subchart are not a table.
    #[error("type mismatch on {0}: its values are not a table")]
    ValuesNotTable(String),
    /// The values do not fit the chart's schema.
    #[error(
        "values don't meet the specifications of the schema(s) in the following chart(s):\n{0}"
    )]
    Schema(String),
    /// The chart asks for another Kubernetes.
    #[error(
        "chart requires kubeVersion: {constraint} which is incompatible with Kubernetes {version}"
    )]
    KubeVersion {
        /// What the chart asks for.
        constraint: String,
        /// What there is.
        version: String,
    },
    /// A version of Kubernetes that cannot be read.
    #[error("invalid kube version '{0}': could not parse {0:?} as version")]
    InvalidKubeVersion(String),
    /// A template cannot be parsed or fails; names template, line and column.
    #[error("{0}")]
    Render(String),
    /// A bound of the template engine was passed.
    #[error("{template}: {cause}")]
    Bound {
        /// The template that ran.
        template: String,
        /// The bound.
        cause: gotemplate::Error,
    },
    /// A rendered document is no YAML.
    #[error("YAML parse error on {path}: {cause}")]
    Manifest {
        /// The template it came from.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl Error {
    /// Whether Helm would have got as far as rendering; its command line then adds a hint.
    #[must_use]
    pub fn is_render(&self) -> bool {
        matches!(
            self,
            Error::Render(_)
                | Error::Bound { .. }
                | Error::Manifest { .. }
                | Error::KubeVersion { .. }
        )
    }
}
