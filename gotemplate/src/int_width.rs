//! Tells Go's `int`, `int64` and `uint8` apart, which minijinja keeps apart but does not show.
//!
//! All behave as one kind of number everywhere; only `typeOf`, `kindOf` and error messages see
//! the difference, so the slow way through a serializer does not matter. Start at [`width`].

use std::fmt;

use minijinja::Value;
use serde::ser::{Impossible, Serialize, Serializer};

/// Go's integer types, as minijinja stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// `int`: signed, 64 bits.
    Int,
    /// `int64`: 128 bits.
    Int64,
    /// `uint8`: unsigned, 64 bits.
    Uint8,
}

/// The type of an integer.
pub(crate) fn width(value: &Value) -> Width {
    match value.serialize(Probe) {
        Err(Answer::Wide) => Width::Int64,
        Err(Answer::Unsigned) => Width::Uint8,
        _ => Width::Int,
    }
}

struct Probe;

#[derive(Debug)]
enum Answer {
    Wide,
    Unsigned,
    Other,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Answer {}

impl serde::ser::Error for Answer {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Answer::Other
    }
}

type Never = Impossible<(), Answer>;

macro_rules! other {
    ($($name:ident($($arg:ty),*) -> $ok:ty;)*) => {
        $(fn $name(self, $(_: $arg),*) -> Result<$ok, Answer> { Err(Answer::Other) })*
    };
}

impl Serializer for Probe {
    type Ok = ();
    type Error = Answer;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_i128(self, _: i128) -> Result<(), Answer> {
        Err(Answer::Wide)
    }

    fn serialize_u64(self, _: u64) -> Result<(), Answer> {
        Err(Answer::Unsigned)
    }

    other! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }

    fn serialize_some<T: ?Sized + Serialize>(self, _: &T) -> Result<(), Answer> {
        Err(Answer::Other)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Answer> {
        Err(Answer::Other)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Answer> {
        Err(Answer::Other)
    }
}
