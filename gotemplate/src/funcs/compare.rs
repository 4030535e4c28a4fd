//! Go's comparison functions: `eq ne lt le gt ge`.
//!
//! Integers and floats do not compare; that is an error, as in Go. Start at [`eq`].

use minijinja::Value;

use super::{Args, Param, Registry};
use crate::error::FuncError;
use crate::print::to_text;
use crate::printf::sprintf;
use crate::value::{Kind, as_float, is_nil, kind_of, type_name};

pub(crate) fn register(registry: &mut Registry) {
    registry.add("eq", &[Param::Reflect, Param::ManyReflect], |_, args| eq(args).map(Value::from));
    registry.add("ne", &[Param::Reflect, Param::Reflect], |_, args| {
        eq(args).map(|equal| Value::from(!equal))
    });
    registry.add("lt", &[Param::Reflect, Param::Reflect], |_, args| {
        less(args.get(0), args.get(1)).map(Value::from)
    });
    registry.add("le", &[Param::Reflect, Param::Reflect], |_, args| at_most(args).map(Value::from));
    registry.add("gt", &[Param::Reflect, Param::Reflect], |_, args| {
        at_most(args).map(|at_most| Value::from(!at_most))
    });
    registry.add("ge", &[Param::Reflect, Param::Reflect], |_, args| {
        less(args.get(0), args.get(1)).map(|less| Value::from(!less))
    });
}

fn is_basic(kind: Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Int | Kind::Float | Kind::Str)
}

/// `eq a b c`: whether `a` equals any of the others.
fn eq(args: Args<'_>) -> Result<bool, FuncError> {
    let first = args.get(0);
    if args.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for other in args.from(1) {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> Result<bool, FuncError> {
    let (left, right) = (kind_of(a), kind_of(b));
    if is_basic(left) || is_basic(right) {
        if left == right {
            return Ok(match left {
                Kind::Int => a.as_i64() == b.as_i64(),
                Kind::Float => as_float(a) == as_float(b),
                Kind::Bool => a.is_true() == b.is_true(),
                _ => a.as_str() == b.as_str(),
            });
        }
        if is_nil(a) || is_nil(b) {
            return Ok(false);
        }
        return Err(FuncError::new(format!(
            "incompatible types for comparison: {} and {}",
            type_name(a),
            type_name(b)
        )));
    }
    if is_nil(a) || is_nil(b) {
        return Ok(is_nil(a) && is_nil(b));
    }
    if left != right {
        return Err(FuncError::new(format!(
            "non-comparable types {}: {}, {}: {}",
            sprintf("%s", std::slice::from_ref(a)),
            type_name(a),
            type_name(b),
            to_text(b)
        )));
    }
    match left {
        Kind::Native => Ok(to_text(a) == to_text(b)),
        _ => {
            let text = sprintf("%s", std::slice::from_ref(b));
            Err(FuncError::new(format!("non-comparable type {text}: {}", type_name(b))))
        }
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, FuncError> {
    let (left, right) = (kind_of(a), kind_of(b));
    if !is_basic(left) || !is_basic(right) {
        return Err("invalid type for comparison".into());
    }
    if left != right {
        return Err(FuncError::new(format!(
            "incompatible types for comparison: {} and {}",
            type_name(a),
            type_name(b)
        )));
    }
    match left {
        Kind::Int => Ok(a.as_i64() < b.as_i64()),
        Kind::Float => Ok(as_float(a) < as_float(b)),
        Kind::Str => Ok(a.as_str() < b.as_str()),
        _ => Err("invalid type for comparison".into()),
    }
}

fn at_most(args: Args<'_>) -> Result<bool, FuncError> {
    let (a, b) = (args.get(0), args.get(1));
    Ok(less(a, b)? || equal(a, b)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{int, int64, nil};

    #[test]
    fn integers_and_floats_do_not_compare() {
        let error = eq(Args(&[8080.0.into(), int(8080)])).unwrap_err();
        assert_eq!(error.to_string(), "incompatible types for comparison: float64 and int");
        assert!(eq(Args(&[int(1), int64(1)])).unwrap());
    }

    #[test]
    fn nil_equals_only_nil() {
        assert!(eq(Args(&[nil(), Value::UNDEFINED])).unwrap());
        assert!(!eq(Args(&[nil(), "".into()])).unwrap());
    }
}
