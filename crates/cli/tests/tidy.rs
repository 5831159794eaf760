//! The house rules that no compiler knows, as tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that may say `unsafe`.
const UNSAFE_CRATES: [&str; 4] = ["dpdk-sys", "dpdk", "capi", "ring"];
/// The conformance adapter is called from C; the library hands its caller's promise on, which tests of that give; a host
/// of DPDK starts it.
const UNSAFE_FILES: [&str; 6] = [
    "packetdrill/src/abi.rs",
    "crates/tsonami/src/local.rs",
    "crates/tsonami/src/workers/memory.rs",
    "crates/tsonami/tests/zero_copy.rs",
    "crates/engine/tests/release/memory.rs",
    "crates/tsonami/examples/host_eal.rs",
];
/// Where our Rust is.
const FOLDERS: [&str; 3] = ["bench", "crates", "packetdrill"];
/// A file holds one idea; beyond this many lines there is a second one in it.
const LONGEST_FILE: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The files with this ending in all folders of ours.
fn all_files(ending: &str) -> Vec<(String, String)> {
    FOLDERS.iter().flat_map(|folder| files(folder, ending)).collect()
}

/// Every file below a folder of the repository with this ending, and its text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != ".git") {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("a text file")));
            }
        }
    }
    assert!(!found.is_empty(), "no *{ending} in {folder}");
    found.sort();
    found
}

/// The lines of Rust code, without comments and without what is in string literals, and their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.lines().enumerate().map(|(number, line)| {
        let unquoted: String = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
        (number + 1, unquoted.split("//").next().unwrap_or_default().to_owned())
    })
}

fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
}

/// Panics with everything a rule found.
fn nothing(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn unsafe_code_stays_where_dpdk_is() {
    let allowed = |name: &str| {
        UNSAFE_FILES.contains(&name)
            || UNSAFE_CRATES.iter().any(|krate| name.starts_with(&format!("crates/{krate}/")))
    };
    let found = all_files(".rs").into_iter().filter(|(name, _)| !allowed(name)).flat_map(|(name, text)| {
        let lines = code(&text).filter(|(_, line)| has_word(line, "unsafe"));
        lines.map(|(number, _)| format!("{name}:{number}")).collect::<Vec<_>>()
    });
    nothing(
        found.collect(),
        "unsafe outside dpdk-sys, dpdk, capi, ring and the files that pass a promise on",
    );
}

#[test]
fn nothing_is_left_for_later() {
    let macros = [concat!("todo", "!"), concat!("unimplemented", "!"), concat!("dbg", "!")];
    let found = all_files(".rs").into_iter().flat_map(|(name, text)| {
        let lines = code(&text).filter(|(_, line)| macros.iter().any(|word| line.contains(word)));
        lines.map(|(number, line)| format!("{name}:{number}: {}", line.trim())).collect::<Vec<_>>()
    });
    nothing(found.collect(), "placeholders");
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    let mut found = Vec::new();
    for (name, text) in all_files(".rs") {
        let mut in_tests = name.contains("/tests/");
        for (number, line) in code(&text) {
            in_tests |= line.contains("#[cfg(test)]");
            let sleeps = in_tests && has_word(&line, concat!("sl", "eep"));
            if sleeps || line.contains("#[ignore") {
                found.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    nothing(found, "ignored or sleeping tests (wait for the event, with a deadline)");
}

#[test]
fn a_file_holds_one_idea() {
    let mut found = Vec::new();
    for (name, text) in all_files(".rs").into_iter().chain(files("scripts", "")) {
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            found.push(format!("{name}: {lines} lines"));
        }
    }
    nothing(found, &format!("files above {LONGEST_FILE} lines"));
}

#[test]
fn every_crate_has_the_lints_and_fields_of_the_workspace() {
    let mut found = Vec::new();
    for (name, text) in all_files("Cargo.toml") {
        for line in ["version.workspace = true", "edition.workspace = true", "rust-version.workspace = true"]
        {
            if !text.contains(line) {
                found.push(format!("{name}: no '{line}'"));
            }
        }
        if !text.contains("[lints]\nworkspace = true") {
            found.push(format!("{name}: no workspace lints"));
        }
    }
    nothing(found, "manifests that go their own way");
}

/// Names of all tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in all_files(".rs") {
        let mut marked = false;
        for (_, line) in code(&text) {
            marked |= line.contains("#[test]");
            if let Some((_, rest)) = line.split_once("fn ")
                && std::mem::take(&mut marked)
            {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
        }
    }
    names
}

/// The rows of the tables in COMPLIANCE.md: identifier, status, remark.
fn compliance_rows() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(root().join("COMPLIANCE.md")).expect("COMPLIANCE.md");
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let is_row = ["MUST-", "SHLD-", "S"]
            .iter()
            .any(|start| cells[0].strip_prefix(start).is_some_and(|number| number.parse::<u32>().is_ok()));
        if is_row {
            assert_eq!(cells.len(), 4, "four cells: identifier, requirement, status, by: {line}");
            rows.push([cells[0].to_owned(), cells[2].to_owned(), cells[3].to_owned()]);
        }
    }
    rows
}

#[test]
fn compliance_names_tests_that_exist() {
    let all = tests();
    let mut found = Vec::new();
    for [id, status, by] in compliance_rows() {
        let tests: Vec<&str> = by.split('`').skip(1).step_by(2).collect();
        match status.as_str() {
            "met" | "partly" => {
                if tests.is_empty() {
                    found.push(format!("{id} is '{status}' by no test"));
                }
                if status == "partly" && !by.contains(';') {
                    found.push(format!("{id} is 'partly': say after a semicolon what is owed"));
                }
                let missing = tests.iter().filter(|test| !all.contains(**test));
                found.extend(missing.map(|test| format!("{id}: no test is called {test}")));
            }
            "deviates" if by.is_empty() => found.push(format!("{id} deviates without a reason")),
            "owed" | "deviates" => {}
            other => found.push(format!("{id}: '{other}' is none of met, partly, owed, deviates")),
        }
    }
    nothing(found, "COMPLIANCE.md");
}

#[test]
fn compliance_lists_every_requirement_once() {
    let rows: Vec<String> = compliance_rows().into_iter().map(|[id, ..]| id).collect();
    let unique: BTreeSet<&String> = rows.iter().collect();
    assert_eq!(unique.len(), rows.len(), "a requirement is listed twice");
    for id in (1..=69).map(|n| format!("MUST-{n}")).chain((1..=50).map(|n| format!("S{n}"))) {
        assert!(unique.contains(&id), "{id} is missing");
    }
    assert_eq!(rows.iter().filter(|id| id.starts_with("SHLD-")).count(), 25, "requirements of level SHOULD");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut found = Vec::new();
    let mut documents = files("docs", ".md");
    for name in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "COMPLIANCE.md",
        "bench/README.md",
        "benches/README.md",
        "config/README.md",
    ] {
        documents.push((name.to_owned(), std::fs::read_to_string(root().join(name)).expect(name)));
    }
    for (name, text) in documents {
        let folder = root().join(&name).parent().expect("a file has a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                found.push(format!("{name}: {target}"));
            }
        }
    }
    nothing(found, "links to nothing");
}

#[test]
fn the_reference_knows_every_option() {
    let reference =
        std::fs::read_to_string(root().join("docs/reference/cli.md")).expect("docs/reference/cli.md");
    let mut found = Vec::new();
    for subcommand in ["send", "serve", "rr", "crr", "devices", "doctor"] {
        let help = Command::new(env!("CARGO_BIN_EXE_tsonami"))
            .args([subcommand, "--help"])
            .output()
            .expect("it runs");
        let help = String::from_utf8(help.stdout).expect("text");
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            let Some((_, rest)) = line.split_once("--") else { continue };
            let option: String =
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            if !reference.contains(&format!("`--{option}")) {
                found.push(format!("{subcommand} --{option}"));
            }
        }
    }
    nothing(found, "options that docs/reference/cli.md lacks");
}
