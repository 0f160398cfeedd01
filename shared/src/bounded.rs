//! Numbers that are valid by their type.
//!
//! One macro gives each a gate that every door leads through: construction, serde, OpenAPI.

use std::fmt::Display;

/// A number outside its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be between {min} and {max}, not {value}")]
pub struct OutOfRange {
    /// The request field the number was given for.
    pub field: &'static str,
    pub(crate) min: String,
    pub(crate) max: String,
    pub(crate) value: String,
}

impl OutOfRange {
    pub(crate) fn new(
        field: &'static str,
        min: impl Display,
        max: impl Display,
        value: impl Display,
    ) -> Self {
        Self { field, min: min.to_string(), max: max.to_string(), value: value.to_string() }
    }
}

/// Declares a newtype over a number with fixed limits; `$field` is the name a client knows it by.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($raw:ty) in $min:literal..=$max:literal, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub struct $name($raw);

        impl $name {
            /// The smallest value allowed.
            pub const MIN: $raw = $min;
            /// The largest value allowed.
            pub const MAX: $raw = $max;
            /// The request field this is given in.
            pub const FIELD: &'static str = $field;

            /// The number itself.
            pub const fn get(self) -> $raw {
                self.0
            }
        }

        impl TryFrom<$raw> for $name {
            type Error = $crate::OutOfRange;

            fn try_from(value: $raw) -> Result<Self, $crate::OutOfRange> {
                if (Self::MIN..=Self::MAX).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err($crate::OutOfRange::new($field, Self::MIN, Self::MAX, value))
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&self.0, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = <$raw as serde::Deserialize>::deserialize(deserializer)?;
                Self::try_from(raw).map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        openapi_as!($name, $raw, |schema| {
            schema.minimum = $name::MIN.to_string().parse().ok();
            schema.maximum = $name::MAX.to_string().parse().ok();
        });
    };
}
