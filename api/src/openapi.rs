//! The published contract, whole: what poem-openapi derives from the handlers, and what it cannot
//! know.
//!
//! It knows paths, path and header parameters and what succeeds. It does not know fields that are
//! read from query, form and JSON alike, nor which refusals an operation really makes, nor the
//! gate in front of it all. Those stand in [`OPERATIONS`], and the tests hold every answer they
//! get against the document.

mod schema;

use poem_openapi::{OpenApi, OpenApiService, registry::Registry, types::Type as _};
use serde_json::{Map, Value, json};
use shared::{
    Problem,
    request::{FIELDS, Field},
};

use crate::{generate, listing, model, requests, submit};
use schema::{allow_null, edit_fields, object_of, refuse_with, schema_of, words_of};

/// What [`document`] adds to an operation.
struct Operation {
    id: &'static str,
    /// Its query parameters.
    query: fn() -> Vec<Field>,
    body: Body,
    /// The statuses it refuses with, beside those of the gate and of our own failures.
    refuses: &'static [u16],
}

/// How an operation takes its fields.
enum Body {
    None,
    /// As a form or as JSON.
    Any(&'static str),
    /// As JSON alone.
    Json(&'static str),
}

const NEW: &str = "NewBenchmark";
const EDIT: &str = "BenchmarkEdit";
const GENERATE: &str = "GenerateRequest";

fn no_fields() -> Vec<Field> {
    Vec::new()
}

fn benchmark_fields() -> Vec<Field> {
    FIELDS.to_vec()
}

const OPERATIONS: &[Operation] = &[
    Operation {
        id: "run_benchmark",
        query: benchmark_fields,
        body: Body::Any(NEW),
        refuses: &[400, 404, 408, 413, 414, 415, 422],
    },
    Operation {
        id: "create_benchmark",
        query: no_fields,
        body: Body::Json(NEW),
        refuses: &[400, 404, 408, 413, 414, 415, 422],
    },
    Operation {
        id: "list_benchmarks",
        query: || listing::PARAMETERS.to_vec(),
        body: Body::None,
        refuses: &[400, 414, 422],
    },
    Operation {
        id: "get_benchmark",
        query: || submit::WAIT.to_vec(),
        body: Body::None,
        refuses: &[400, 404, 414, 422],
    },
    Operation {
        id: "put_benchmark",
        query: edit_fields,
        body: Body::Any(EDIT),
        refuses: &[400, 404, 408, 413, 414, 415, 422],
    },
    Operation {
        id: "patch_benchmark",
        query: edit_fields,
        body: Body::Any(EDIT),
        refuses: &[400, 404, 408, 413, 414, 415, 422],
    },
    Operation {
        id: "delete_benchmark",
        query: || listing::FORCE.to_vec(),
        body: Body::None,
        refuses: &[400, 404, 409, 414, 422],
    },
    Operation {
        id: "cancel_benchmark",
        query: no_fields,
        body: Body::None,
        refuses: &[400, 404, 409, 414],
    },
    Operation {
        id: "drain_runner",
        query: no_fields,
        body: Body::None,
        refuses: &[400, 404, 409, 414],
    },
    Operation {
        id: "get_timeseries",
        query: no_fields,
        body: Body::None,
        refuses: &[400, 404, 414],
    },
    Operation {
        id: "get_requests",
        query: || requests::PARAMETERS.to_vec(),
        body: Body::None,
        refuses: &[400, 404, 414, 422, 429],
    },
    Operation {
        id: "get_histograms",
        query: no_fields,
        body: Body::None,
        refuses: &[400, 404, 414],
    },
    Operation {
        id: "follow_benchmark",
        query: no_fields,
        body: Body::None,
        refuses: &[400, 404, 414],
    },
    Operation {
        id: "generate",
        query: no_fields,
        body: Body::Json(GENERATE),
        refuses: &[400, 408, 413, 414, 415, 422, 429, 502],
    },
    Operation {
        id: "list_models",
        query: || model::PARAMETERS.to_vec(),
        body: Body::None,
        refuses: &[400, 414, 422, 429, 502],
    },
    Operation { id: "list_runners", query: no_fields, body: Body::None, refuses: &[400, 414] },
];

/// The document of `service`.
pub(crate) fn document<T: OpenApi>(service: &OpenApiService<T, ()>) -> Value {
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    let mut registry = Registry::new();
    Problem::register(&mut registry);
    for (name, schema) in &registry.schemas {
        document["components"]["schemas"][name] = json!(schema);
    }
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        // A problem leaves out what it has not; everything else says null.
        if name != "Problem" {
            allow_null(schema);
        }
    }
    schemas[NEW] = object_of(&benchmark_fields());
    schemas[NEW]["example"] =
        json!({"url": "https://llm.example", "user": 8, "spawnrate": 8, "duration": 30});
    schemas[EDIT] = object_of(&edit_fields());
    schemas[EDIT]["example"] = json!({"favorite": true});
    schemas[GENERATE] = object_of(&generate::fields());
    schemas[GENERATE]["properties"]["messages"] = generate::messages_schema();
    schemas[GENERATE]["example"] = json!({"url": "https://llm.example", "prompt": "Say hello."});
    document["components"]["securitySchemes"] = json!({
        "basic": {"type": "http", "scheme": "basic", "description": "Where BASIC_AUTH is on."},
        "bearer": {"type": "http", "scheme": "bearer", "description": "Where API_TOKENS is set."},
    });
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
                complete(path, operation);
            }
        }
    }
    document
}

fn complete(path: &str, operation: &mut Value) {
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if response["description"] == "" {
            response["description"] = "What was asked for.".into();
        }
    }
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        if parameter["in"] == "path" {
            parameter["description"] = "The benchmark's number.".into();
            parameter["schema"]["minimum"] = 1.into();
        }
    }
    if !path.starts_with("/api/") {
        operation["security"] = json!([]);
        refuse_with(operation, if path == "/readyz" { &[503] } else { &[] });
        return;
    }
    operation["security"] = json!([{"basic": []}, {"bearer": []}, {}]);
    let Some(known) = OPERATIONS.iter().find(|known| operation["operationId"] == known.id) else {
        return;
    };
    let of_query = (known.query)();
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for field in &of_query {
        let (schema, description) = (schema_of(field), words_of(field));
        parameters.push(json!({
            "name": field.name,
            "in": "query",
            "required": false,
            "description": description,
            "schema": schema,
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let schema = |name| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    match known.body {
        Body::None => {}
        Body::Any(name) => {
            operation["requestBody"] = json!({
                "required": false,
                "description": "The same fields as in the query. What the body says wins.",
                "content": {
                    "application/json": schema(name),
                    "application/x-www-form-urlencoded": schema(name),
                },
            });
        }
        Body::Json(name) => {
            operation["requestBody"] =
                json!({"required": true, "content": {"application/json": schema(name)}});
        }
    }
    if known.id == "get_requests" {
        // Of several answers with one status, poem-openapi keeps the last.
        let file = json!({"schema": {"type": "string", "format": "binary"}});
        let types =
            requests::Format::ALL.map(|format| (format.media_type().to_owned(), file.clone()));
        operation["responses"]["200"]["content"] = Value::Object(types.into_iter().collect());
    }
    refuse_with(operation, known.refuses);
    refuse_with(operation, &[401, 500, 503]);
}

/// The methods that `path` takes, as an `Allow` header says it.
pub(crate) fn methods_of(document: &Value, path: &str) -> String {
    let operations = document["paths"][path].as_object();
    let mut methods: Vec<_> =
        operations.into_iter().flat_map(Map::keys).map(|method| method.to_uppercase()).collect();
    if methods.is_empty() {
        methods.push("GET".to_owned());
    }
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    methods.sort();
    methods.join(", ")
}

/// The same document to read and try out in a browser, without anything from the network.
pub(crate) fn page(document: &Value) -> String {
    struct Nothing;
    #[OpenApi]
    impl Nothing {}

    // poem-openapi makes the page from its own document only: its page of an empty service holds
    // one assignment that ours takes the place of.
    let empty = OpenApiService::new(Nothing, "", "");
    let html = empty.swagger_ui_html();
    // `</` would end the script element.
    let ours = document.to_string().replace("</", "<\\/");
    html.replacen(&format!("let spec = {};", empty.spec()), &format!("let spec = {ours};"), 1)
        .replace("<title>Swagger UI</title>", "<title>LLM Benchmark API</title>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_our_document_and_loads_nothing() {
        let page = page(&json!({"openapi": "3.0.0", "info": {"title": "</script>canary"}}));
        assert!(page.contains(r#"let spec = {"info":{"title":"<\/script>canary"},"#));
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    }
}
