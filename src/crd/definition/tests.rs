//! The definition as values: what the API server would refuse or warn about is refused here first.

#[test]
fn dump() {
    if let Ok(path) = std::env::var("DUMP") {
        std::fs::write(path, super::yaml()).unwrap();
    }
}
