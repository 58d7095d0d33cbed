//! The pools of `by_hand.yaml`, and those of `examples/`.

use serde_json::Value;

use super::objects::{Case, pool};

/// Every pool of the file.
pub fn cases() -> Vec<Case> {
    let list: Vec<Value> = serde_saphyr::from_str(include_str!("by_hand.yaml")).expect("the file is YAML");
    list.into_iter()
        .map(|entry| {
            let mut object = entry.get("whole").cloned().unwrap_or_else(|| pool(entry["spec"].clone()));
            if let Some(metadata) = entry.get("metadata") {
                object["metadata"] = metadata.clone();
            }
            Case {
                name: entry["name"].as_str().expect("a case has a name").to_owned(),
                create_only: entry.get("metadata").is_some(),
                refused_at: entry["refused"].as_str().map(ToOwned::to_owned),
                object,
            }
        })
        .collect()
}

/// Every pool of the examples, which are all accepted.
pub fn examples() -> Vec<Case> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).expect("there are examples");
    let texts = folder.map(|entry| std::fs::read_to_string(entry.expect("it is listed").path()).expect("it is text"));
    let documents = texts.flat_map(|text| serde_saphyr::from_multiple::<Value>(&text).expect("it is YAML"));
    let pools = documents.filter(|document| document["kind"] == "ConnectionPool");
    pools
        .map(|mut object| {
            object["metadata"].as_object_mut().expect("it has metadata").remove("namespace");
            let name = format!("example {}", object["metadata"]["name"]);
            Case { name, object, refused_at: None, create_only: true }
        })
        .collect()
}
