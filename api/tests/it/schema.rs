//! Whether a value is what a schema of the published document says.

use serde_json::Value;

/// Everything in `value` that `schema` does not allow; `place` is where it is.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    faults_of(document, schema, value, place, true)
}

/// The same; `whole`: whether the schema alone says which members there are.
fn faults_of(
    document: &Value,
    schema: &Value,
    value: &Value,
    place: &str,
    whole: bool,
) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return faults_of(document, target, value, place, whole);
    }
    if value.is_null() {
        let allowed = schema["nullable"] == true;
        return if allowed { Vec::new() } else { vec![format!("{place} is null")] };
    }
    let of = |schema: &Value| faults(document, schema, value, place);
    let mut found = Vec::new();
    let parts = schema["allOf"].as_array().map_or(&[][..], Vec::as_slice);
    for part in parts {
        found.extend(faults_of(document, part, value, place, whole && parts.len() == 1));
    }
    for alternatives in [&schema["anyOf"], &schema["oneOf"]] {
        if let Some(alternatives) = alternatives.as_array()
            && !alternatives.iter().any(|schema| of(schema).is_empty())
        {
            found.push(format!("{place} is none of the alternatives"));
        }
    }
    let is_of_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some(other) => panic!("{place} has the type {other}"),
    };
    if !is_of_type {
        found.push(format!("{place} is no {}, but {value}", schema["type"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{place} is {value}, which is no word of {words:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{place} lacks {name}"));
        }
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object())
    {
        for (name, member) in members {
            match properties.get(name) {
                Some(schema) => {
                    found.extend(faults(document, schema, member, &format!("{place}.{name}")));
                }
                None if !whole => {}
                None => found.push(format!("{place}.{name} is not documented")),
            }
        }
    }
    if schema["additionalProperties"].is_object() {
        for (name, member) in value.as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            found.extend(faults(document, &schema["additionalProperties"], member, &place));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(document, &schema["items"], item, &format!("{place}[{at}]")));
    }
    found
}
