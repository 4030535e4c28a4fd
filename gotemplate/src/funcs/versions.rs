//! sprig's `semver` and `semverCompare`, on the rules of [`super::semver`].
//!
//! Start at [`register`].

use std::any::Any;
use std::cmp::Ordering;

use minijinja::Value;

use super::semver::{Constraints, Version};
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::value::{GoObject, downcast, int, int64, native, nil};

pub(crate) fn register(r: &mut Registry) {
    use Param::Str;
    r.add("semver", &[Str], |_, a| Ok(native(read(a.str(0))?)));
    r.add("semverCompare", &[Str, Str], |_, a| {
        let constraints = Constraints::parse(a.str(0)).map_err(|error| error.to_string())?;
        Ok(Value::from(constraints.matches(&read(a.str(1))?)))
    });
}

const NO_PARAMS: &[Param] = &[];

fn read(text: &str) -> Result<Version, FuncError> {
    Version::parse(text).map_err(|error| FuncError::new(error.to_string()))
}

impl Version {
    fn property(&self, name: &str) -> Option<Value> {
        let [major, minor, patch] = self.core;
        let number = |n: u64| int64(i64::try_from(n).unwrap_or(i64::MAX));
        Some(match name {
            "Major" => number(major),
            "Minor" => number(minor),
            "Patch" => number(patch),
            "Prerelease" => Value::from(self.prerelease.as_str()),
            "Metadata" => Value::from(self.metadata.as_str()),
            "Original" => Value::from(self.original.as_str()),
            "String" => Value::from(self.to_string()),
            _ => return None,
        })
    }

    fn next(&self, part: usize) -> Version {
        let mut core = self.core;
        // A pre-release is followed by its own release.
        if part < 2 || self.prerelease.is_empty() {
            core[part] += 1;
        }
        core[part + 1..].fill(0);
        let text = format!("{}.{}.{}", core[0], core[1], core[2]);
        Version { core, prerelease: String::new(), metadata: String::new(), original: text }
    }
}

impl GoObject for Version {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        match name {
            "Compare" | "LessThan" | "GreaterThan" | "Equal" => Some(&[Param::Any]),
            "IncMajor" | "IncMinor" | "IncPatch" => Some(&[]),
            _ => self.property(name).map(|_| NO_PARAMS),
        }
    }

    fn call(&self, _: &Cx<'_>, method: &str, args: Args<'_>) -> FuncResult {
        let order = || match downcast::<Version>(args.get(0)) {
            Some(other) => Ok(self.precedence(other)),
            None => Err(FuncError::new("expected *semver.Version")),
        };
        Ok(match method {
            "Compare" => int(order()? as i64),
            "LessThan" => Value::from(order()? == Ordering::Less),
            "GreaterThan" => Value::from(order()? == Ordering::Greater),
            "Equal" => Value::from(order()? == Ordering::Equal),
            "IncMajor" => native(self.next(0)),
            "IncMinor" => native(self.next(1)),
            "IncPatch" => native(self.next(2)),
            _ => self.property(method).unwrap_or_else(nil),
        })
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
