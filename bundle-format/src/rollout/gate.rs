//! Why a cluster does not move to its new version now.
//!
//! Owns the reasons and their words. Must not know how they are found. Start at [`Gate`].

/// What holds a cluster back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gate {
    /// The bundle or the cluster is paused: changes are staged only.
    Paused,
    /// As many clusters of the bundle are unavailable as may be.
    Budget {
        /// How many may be.
        allowed_count: usize,
        /// How many are, this pass's promotions included.
        unavailable_count: usize,
    },
    /// As many clusters of the partition are unavailable as may be.
    PartitionBudget {
        /// Name of the partition.
        partition: String,
        /// How many may be.
        allowed_count: usize,
        /// How many are, this pass's promotions included.
        unavailable_count: usize,
    },
    /// An earlier partition is not done.
    EarlierPartition {
        /// Its name.
        partition: String,
    },
    /// The cluster has no namespace for its BundleDeployments yet.
    NoNamespace,
    /// As many BundleDeployments were created in this pass as may be.
    MaxNew {
        /// How many may be.
        allowed_count: usize,
    },
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Paused => f.write_str("paused"),
            Self::Budget { allowed_count, unavailable_count } => {
                write!(f, "{unavailable_count} of at most {allowed_count} clusters unavailable")
            }
            Self::PartitionBudget { partition, allowed_count, unavailable_count } => write!(
                f,
                "partition {partition:?}: {unavailable_count} of at most {allowed_count} clusters unavailable"
            ),
            Self::EarlierPartition { partition } => {
                write!(f, "waiting for partition {partition:?}")
            }
            Self::NoNamespace => f.write_str("the cluster has no namespace yet"),
            Self::MaxNew { allowed_count } => {
                write!(f, "at most {allowed_count} new clusters at a time")
            }
        }
    }
}
