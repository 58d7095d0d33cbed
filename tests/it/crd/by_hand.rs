//! The pools of `by_hand.yaml`.

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
