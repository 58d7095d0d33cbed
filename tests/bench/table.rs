//! The results: for people and for programs.

use std::fs;
use std::path::Path;

use serde_json::json;

/// What a result is to stay below.
#[derive(Clone, Copy)]
pub struct Bound {
    pub below: f64,
    /// `seed`: promised to users; `ours`: what we hold ourselves to.
    pub whose: &'static str,
}

#[derive(Default)]
pub struct Table {
    rows: Vec<(&'static str, f64, &'static str, Option<Bound>)>,
}

impl Table {
    pub fn add(&mut self, name: &'static str, value: f64, unit: &'static str, bound: Option<Bound>) {
        self.rows.push((name, value, unit, bound));
    }

    /// Prints the table, and writes it to `file`.
    pub fn finish(self, file: &Path) {
        println!("\n{:<40} {:>12}      {:<22}", "", "measured", "target");
        let mut lines = String::new();
        for (name, value, unit, bound) in self.rows {
            let target = bound.map_or_else(String::new, |bound| {
                let verdict = if value < bound.below { "met" } else { "MISSED" };
                format!("< {} {unit} ({}): {verdict}", bound.below, bound.whose)
            });
            println!("{name:<40} {value:>12.3} {unit:<4} {target}");
            let line = json!({
                "name": name, "value": value, "unit": unit,
                "below": bound.map(|bound| bound.below), "target": bound.map(|bound| bound.whose),
                "met": bound.map(|bound| value < bound.below),
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        fs::create_dir_all(file.parent().expect("it has a folder")).expect("the target directory is ours");
        fs::write(file, lines).expect("the target directory is ours");
        println!("\nwritten to {}", file.display());
    }
}
