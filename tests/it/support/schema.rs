//! A validator for the part of JSON Schema that `docs/health-pool.schema.json` uses. A keyword that it does not know is a fault, so
//! the schema can't grow past what is checked.

#![allow(clippy::panic, reason = "a panic is how a test fails")]

use serde_json::Value;

/// Every way in which `value` breaks `schema`.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "$", &mut found);
    found
}

fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let keywords = schema.as_object().expect("a schema is an object");
    for (keyword, rule) in keywords {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match rule.as_str().expect("one type") {
                "object" => value.is_object(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                other => panic!("unknown type {other:?}"),
            },
            "enum" => rule.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "maximum" => value.as_f64() <= rule.as_f64(),
            "maxLength" => value.as_str().is_some_and(|text| text.len() as u64 <= rule.as_u64().expect("a length")),
            "format" => {
                assert_eq!(rule, "date-time", "the only format that is checked");
                value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
            }
            "required" => {
                rule.as_array().expect("a list").iter().all(|name| value.get(name.as_str().expect("a name")).is_some())
            }
            "properties" => {
                for (name, schema) in rule.as_object().expect("named schemas") {
                    if let Some(value) = value.get(name) {
                        check(schema, value, &format!("{at}.{name}"), found);
                    }
                }
                true
            }
            other => panic!("unknown keyword {other:?}"),
        };
        if !holds {
            found.push(format!("{at}: {value} breaks {keyword} {rule}"));
        }
    }
}
