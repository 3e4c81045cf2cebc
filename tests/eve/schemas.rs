//! The schemas that records must conform to: gomon's own, and Suricata's if they are available.

use std::path::PathBuf;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::skip::skip_in_ci_too;

/// gomon's own schema, as published in the project.
pub(crate) static TEXT: &str = include_str!("../../docs/eve.schema.json");

static OURS: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(TEXT).expect("a JSON file");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema of draft 2020-12");
    jsonschema::validator_for(&schema).expect("a schema")
});

static SURICATA: LazyLock<Vec<(PathBuf, Validator)>> = LazyLock::new(|| {
    let folder = folder();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(!paths.is_empty(), "no schema in {}", folder.display());
    let compiled = paths.into_iter().map(|path| {
        let text = std::fs::read(&path).expect("the schema can be read");
        let schema: Value = serde_json::from_slice(&text).expect("a JSON file");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        (path, validator)
    });
    compiled.collect()
});

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/eve");
    std::env::var_os("GOMON_EVE_SCHEMAS").map_or_else(|| default.into(), PathBuf::from)
}

/// Every record of these tests is validated by them as well. If they are missing, this test is reported as
/// skipped on behalf of all.
#[test]
fn suricatas_schemas_reject_invalid_records() {
    if SURICATA.is_empty() {
        skip_in_ci_too(format_args!("no schemas of Suricata in {}", folder().display()));
    }
    for (path, validator) in &*SURICATA {
        assert!(!validator.is_valid(&json!({ "event_type": "alert" })), "{}", path.display());
    }
}

/// Whether gomon's schema accepts a record.
pub(crate) fn accepts(record: &Value) -> bool {
    OURS.is_valid(record)
}

/// Validates a record by all schemas: completely by gomon's, and by Suricata's completely if it is `strict`,
/// else without gomon's object.
#[track_caller]
pub(crate) fn check(record: &Value, strict: bool) {
    check_schema("docs/eve.schema.json", &OURS, record);
    let mut bare = record.clone();
    if !strict {
        let metadata = bare["metadata"].as_object_mut().expect("metadata");
        metadata.remove("gomon").expect("gomon's own object");
    }
    for (path, validator) in &*SURICATA {
        check_schema(&path.to_string_lossy(), validator, &bare);
    }
}

#[track_caller]
fn check_schema(name: &str, validator: &Validator, record: &Value) {
    if !validator.is_valid(record) {
        let errors = validator.iter_errors(record);
        let errors: Vec<_> =
            errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        panic!("{name} rejects\n{record:#}\n{}", errors.join("\n"));
    }
}
