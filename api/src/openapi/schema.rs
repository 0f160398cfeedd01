//! Fields and refusals as OpenAPI writes them.

use serde_json::{Value, json};
use shared::Labels;
use shared::request::{Edit, FIELDS, Field, Fields, Kind};

/// The fields of an edit, for its schema.
pub(super) fn edit_fields() -> Vec<Field> {
    let known = |name: &str| {
        let name = match name {
            "users" => "user",
            "spawn_rate" => "spawnrate",
            other => other,
        };
        FIELDS.iter().find(|field| field.name == name)
    };
    let changes = |name: &str| matches!(name, "notes" | "favorite" | "priority");
    let field = |name: &'static str| Field {
        name,
        kind: known(name).map_or(Kind::Text { max_chars: 64 }, |field| field.kind),
        default: "unchanged",
        doc: match known(name) {
            Some(field) if changes(name) => field.doc,
            _ => "Cannot change: taken as long as it is what it was.",
        },
    };
    Edit::field_names().map(field).collect()
}

/// An object of `fields` and nothing else.
pub(super) fn object_of(fields: &[Field]) -> Value {
    let properties: Fields = fields
        .iter()
        .map(|field| {
            let mut schema = schema_of(field);
            schema["description"] = words_of(field).into();
            (field.name.to_owned(), schema)
        })
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// Lets every member that an object need not have be null: poem-openapi writes those as null and
/// does not say so.
pub(super) fn allow_null(object: &mut Value) {
    let required = object["required"].clone();
    let required = required.as_array().map_or(&[][..], Vec::as_slice);
    for (name, schema) in object["properties"].as_object_mut().into_iter().flatten() {
        if required.iter().any(|required| required == name) {
            continue;
        }
        if schema.get("$ref").is_some() {
            *schema = json!({"allOf": [schema.take()]});
        }
        schema["nullable"] = true.into();
    }
}

/// A field's schema; its default stands there where it is a value and not a sentence.
pub(super) fn schema_of(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Integer { min, max } => {
            json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})
        }
        Kind::Signed { min, max } => {
            json!({"type": "integer", "format": "int32", "minimum": min, "maximum": max})
        }
        Kind::Time => json!({"oneOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "format": "double", "minimum": 0},
        ]}),
        Kind::Number { min, max } => {
            json!({"type": "number", "format": "double", "minimum": min, "maximum": max})
        }
        Kind::Text { max_chars } => json!({"type": "string", "maxLength": max_chars}),
        Kind::Texts { max_items, max_chars } => json!({"oneOf": [
            {
                "type": "array",
                "maxItems": max_items,
                "items": {"type": "string", "maxLength": max_chars},
            },
            {"type": "string"},
        ]}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Labels { max_chars } => json!({"oneOf": [
            {
                "type": "object",
                "maxProperties": Labels::MAX,
                "additionalProperties": {"type": "string", "maxLength": Labels::MAX_NAME_CHARS},
            },
            {"type": "string", "maxLength": max_chars},
        ]}),
        Kind::Object { max_bytes } => json!({"oneOf": [
            {"type": "object", "additionalProperties": true},
            {"type": "string", "maxLength": max_bytes},
        ]}),
    };
    if field.name == "url" {
        schema["format"] = "uri".into();
    }
    if field.name == "api_key" {
        schema["format"] = "password".into();
        schema["writeOnly"] = true.into();
    }
    if !matches!(field.kind, Kind::Text { .. })
        && let Ok(default) = serde_json::from_str::<Value>(field.default)
    {
        schema["default"] = default;
    }
    schema
}

/// What a field means, and what it is when it is left out.
pub(super) fn words_of(field: &Field) -> String {
    format!("{} Default: {}.", field.doc, field.default)
}

/// Adds the refusals with `statuses` to an operation.
pub(super) fn refuse_with(operation: &mut Value, statuses: &[u16]) {
    for status in statuses {
        let means = match status {
            400 => "The request cannot be read.",
            401 => "Credentials are missing or wrong.",
            404 => "Nothing has this id.",
            408 => "The body came too slowly.",
            409 => "It is not in a state that allows this.",
            413 => "The body is larger than 256 KiB.",
            414 => "The query is longer than 8 KiB.",
            415 => "The body's content type is not taken.",
            422 => "Fields are not valid; `errors` names each with its limit.",
            429 => "Too many of these at once; try again.",
            502 => "The target failed; `detail` has its words.",
            503 => "The database cannot be reached, or the server is shutting down; try again.",
            _ => "Our fault; `trace_id` names the log lines.",
        };
        let mut response = json!({
            "description": means,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        });
        let header = match status {
            401 => Some(("WWW-Authenticate", json!({"type": "string"}))),
            429 | 503 => Some(("Retry-After", json!({"type": "integer", "format": "uint64"}))),
            _ => None,
        };
        if let Some((name, schema)) = header {
            response["headers"] = json!({name: {"schema": schema}});
        }
        operation["responses"][status.to_string()] = response;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_that_are_values_are_in_the_schema() {
        let top_p = FIELDS.iter().find(|field| field.name == "top_p").unwrap();
        assert_eq!(schema_of(top_p)["default"], 0.9);
        let user = FIELDS.iter().find(|field| field.name == "user").unwrap();
        assert_eq!(schema_of(user).get("default"), None);
        assert!(words_of(user).ends_with("Default: LOCUST_USERS, else 100."));
    }
}
