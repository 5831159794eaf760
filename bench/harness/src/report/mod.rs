//! Pages of a folder: `summary.json`, `summary.csv`, `table.md` and `index.html`, all from `runs.jsonl`.

mod content;
mod csv;
mod page;
mod plots;
mod summary;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::record::Folder;

use self::summary::Summary;

/// Writes all pages; returns where they are.
pub(crate) fn write(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let folder = Folder::open(dir)?;
    let summary = Summary::of(&folder);
    let blocks = content::blocks(&summary)?;
    let json = serde_json::to_string_pretty(&summary).map_err(std::io::Error::from)?;
    let pages = [
        ("summary.json", json + "\n"),
        ("summary.csv", csv::csv(&summary)),
        ("table.md", page::markdown(&blocks)),
        ("index.html", page::html(&blocks)),
    ];
    let mut written = Vec::new();
    for (name, text) in pages {
        let path = dir.join(name);
        std::fs::write(&path, text)
            .map_err(|error| Failure::new(format!("cannot write '{}': {error}", path.display())))?;
        written.push(path);
    }
    Ok(written)
}

/// A value with as many digits as a reader can use: three that count, whole numbers from a hundred on, and narrow spaces
/// between thousands.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{:.digits$}", value.abs());
    let (whole, part) = text.split_once('.').map_or((text.as_str(), ""), |(whole, part)| (whole, part));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        // Four digits are read at a glance.
        if n > 0 && (whole.len() - n).is_multiple_of(3) && whole.len() > 4 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "−" } else { "" };
    if part.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{part}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        let shown: Vec<String> =
            [0.0, 0.01234, 1.0, 12.345, 123.4, 1234.5, 12345.6, -1_234_567.0].map(number).to_vec();
        let wanted =
            ["0", "0.0123", "1.00", "12.3", "123", "1234", "12\u{202f}346", "−1\u{202f}234\u{202f}567"];
        assert_eq!(shown, wanted);
    }
}
