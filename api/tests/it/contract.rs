//! The published document: whole, up to date, and what it says of every operation.

use std::{collections::HashSet, path::Path};

use api::Settings;
use poem::http::Method;
use serde_json::Value;
use shared::request::{FIELDS, Kind};

use crate::app::one;

/// Every operation with its path and method.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(|(method, op)| (path.clone(), method.clone(), op.clone()))
        })
        .collect()
}

#[tokio::test]
async fn openapi_json_is_up_to_date() {
    let served = one(Settings::default()).await.get("/openapi.json").await.text;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some_and(|set| set == "1") {
        std::fs::write(&file, &served).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == served,
        "api/openapi.json is not what is served; write it with UPDATE_OPENAPI=1 and read the diff"
    );
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_and_documented_refusals() {
    let app = one(Settings::default()).await;
    let operations = operations(app.document());
    assert!(operations.len() >= 17, "{}", operations.len());
    let names: HashSet<_> =
        operations.iter().map(|(.., operation)| operation["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations.len());
    assert!(!names.contains("null"));

    for (path, method, operation) in &operations {
        let place = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{place}");
        assert!(!operation["tags"].as_array().unwrap().is_empty(), "{place}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{place} {status}");
            if status.starts_with(['4', '5']) {
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{place} {status}");
            }
        }
        if path.starts_with("/api/") {
            for status in ["400", "401", "500", "503"] {
                assert!(responses.contains_key(status), "{place} lacks {status}");
            }
            assert_eq!(operation["security"].as_array().unwrap().len(), 3, "{place}");
        }
        if path.contains("{id}") {
            assert!(responses.contains_key("404"), "{place}");
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let app = one(Settings::default()).await;
    let mut found = Vec::new();
    references(app.document(), &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(app.document().pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_field_is_documented_in_query_form_and_json() {
    let app = one(Settings::default()).await;
    let run = &app.document()["paths"]["/api/v1/benchmarks/run"]["post"];
    let parameters = run["parameters"].as_array().unwrap();
    let reference = "#/components/schemas/NewBenchmark";
    for media_type in ["application/json", "application/x-www-form-urlencoded"] {
        assert_eq!(run["requestBody"]["content"][media_type]["schema"]["$ref"], reference);
    }
    let properties = &app.document()["components"]["schemas"]["NewBenchmark"]["properties"];
    assert_eq!(properties.as_object().unwrap().len(), FIELDS.len());
    for field in FIELDS {
        let parameter = parameters
            .iter()
            .find(|parameter| parameter["name"] == field.name && parameter["in"] == "query");
        for schema in [&parameter.unwrap()["schema"], &properties[field.name]] {
            match field.kind {
                Kind::Integer { min, max } => {
                    assert_eq!(schema["minimum"], min);
                    assert_eq!(schema["maximum"], max);
                }
                Kind::Number { min, max } => {
                    assert_eq!(schema["minimum"], min);
                    assert_eq!(schema["maximum"], max);
                }
                Kind::Signed { min, max } => {
                    assert_eq!(schema["minimum"], min);
                    assert_eq!(schema["maximum"], max);
                }
                Kind::Time => assert_eq!(schema["oneOf"][0]["format"], "date-time"),
                Kind::Text { max_chars } => assert_eq!(schema["maxLength"], max_chars),
                Kind::Texts { max_items, max_chars } => {
                    assert_eq!(schema["oneOf"][0]["maxItems"], max_items);
                    assert_eq!(schema["oneOf"][0]["items"]["maxLength"], max_chars);
                    assert_eq!(schema["oneOf"][1]["type"], "string");
                }
                Kind::Flag => assert_eq!(schema["type"], "boolean"),
                Kind::Labels { max_chars } => {
                    assert_eq!(schema["oneOf"][0]["maxProperties"], 8);
                    assert_eq!(schema["oneOf"][1]["maxLength"], max_chars);
                }
                Kind::Object { max_bytes } => {
                    assert_eq!(schema["oneOf"][0]["type"], "object");
                    assert_eq!(schema["oneOf"][1]["maxLength"], max_bytes);
                }
            }
        }
        let description = properties[field.name]["description"].as_str().unwrap();
        assert!(description.contains(field.doc) && description.contains(field.default));
    }
}

#[tokio::test]
async fn every_documented_path_is_served_in_both_slash_forms() {
    let app = one(Settings::default()).await;
    for (path, method, _) in operations(app.document()) {
        let method: Method = method.to_uppercase().parse().unwrap();
        let path = path.replace("{id}", "4711");
        let plain = app.send(method.clone(), &path, |request| request).await;
        let slashed = app.send(method, &format!("{path}/"), |request| request).await;
        assert_ne!(plain.detail(), "nothing is at this path", "{path}");
        if path != "/metrics" {
            assert_eq!((plain.status, &plain.text), (slashed.status, &slashed.text), "{path}");
        }
    }
}
