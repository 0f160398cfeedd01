//! The contract's types as poem-openapi sees them.
//!
//! A newtype's schema is its raw type's, and its parsing goes through the same gate as serde's.

/// Implements poem-openapi's traits for `$name` over the JSON of `$raw`, through serde.
macro_rules! openapi_as {
    ($name:ident, $raw:ty, |$schema:ident| $tweak:block) => {
        const _: () = {
            use poem_openapi::{
                registry::{MetaSchema, MetaSchemaRef, Registry},
                types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
            };

            impl Type for $name {
                const IS_REQUIRED: bool = true;
                type RawValueType = Self;
                type RawElementValueType = Self;

                fn name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn schema_ref() -> MetaSchemaRef {
                    let mut $schema = match <$raw as Type>::schema_ref() {
                        MetaSchemaRef::Inline(schema) => schema,
                        MetaSchemaRef::Reference(_) => Box::new(MetaSchema::new("object")),
                    };
                    $tweak
                    MetaSchemaRef::Inline($schema)
                }

                fn register(registry: &mut Registry) {
                    <$raw as Type>::register(registry);
                }

                fn as_raw_value(&self) -> Option<&Self> {
                    Some(self)
                }

                fn raw_element_iter<'a>(
                    &'a self,
                ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                    Box::new(Some(self).into_iter())
                }
            }

            impl ParseFromJSON for $name {
                fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
                    serde_json::from_value(value.unwrap_or_default()).map_err(ParseError::custom)
                }
            }

            impl ToJSON for $name {
                fn to_json(&self) -> Option<serde_json::Value> {
                    serde_json::to_value(self).ok()
                }
            }
        };
    };
}

use crate::{
    BenchmarkId, ExtraBody, ExtraHeaders, Labels, LengthMix, ModelName, PromptSource, RunnerId,
    TargetUrl, Timestamp, TokenizerSource, TracePath,
};

openapi_as!(BenchmarkId, i64, |schema| {
    schema.minimum = Some(1.0);
});
openapi_as!(RunnerId, String, |schema| {
    schema.description = Some("New at every start of a runner.");
});
openapi_as!(Timestamp, String, |schema| {
    schema.format = Some("date-time");
});
openapi_as!(TargetUrl, String, |schema| {
    schema.format = Some("uri");
    schema.max_length = Some(TargetUrl::MAX_CHARS);
});
openapi_as!(ModelName, String, |schema| {
    schema.max_length = Some(ModelName::MAX_CHARS);
});
openapi_as!(ExtraBody, serde_json::Value, |schema| {
    schema.ty = "object";
    schema.description = Some("Members of every request's body; null leaves one out.");
});
openapi_as!(ExtraHeaders, serde_json::Value, |schema| {
    schema.ty = "object";
    schema.description = Some("Names in lower case, and values.");
});
openapi_as!(Labels, serde_json::Value, |schema| {
    schema.ty = "object";
    schema.description = Some("Names and values of labels, e.g. `zone` and `eu-1`.");
});
openapi_as!(TracePath, String, |schema| {
    schema.max_length = Some(TracePath::MAX_CHARS);
});
openapi_as!(PromptSource, String, |schema| {
    schema.max_length = Some(256);
});
openapi_as!(TokenizerSource, String, |schema| {
    schema.max_length = Some(256);
});
openapi_as!(LengthMix, String, |schema| {
    schema.description = Some("Parts as `share% prompt/answer`, in tokens; see `mix`.");
});
