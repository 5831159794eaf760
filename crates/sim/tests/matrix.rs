//! The matrix of `matrix.tsv`, cell by cell: a change of any is a change of behaviour, to be looked at and explained.

use sim::matrix::{Cell, HEAD, review};

const SNAPSHOT: &str = include_str!("matrix.tsv");
const AGAIN: &str =
    "cargo run --profile checked -p tsonami-sim --example matrix -- --review > crates/sim/tests/matrix.tsv";

/// A runner with a process per test uses every core, and none takes long.
const PARTS: usize = 8;

/// Measures every eighth cell.
#[track_caller]
fn compare(part: usize) {
    let mut changed = String::new();
    for cell in review(&Cell::controllers()).skip(part).step_by(PARTS) {
        let row = match cell.measure() {
            Ok(row) => row.to_string(),
            Err(failure) => panic!("{cell:?}: {failure}"),
        };
        let key: String = row.splitn(5, '\t').take(4).map(|field| format!("{field}\t")).collect();
        match SNAPSHOT.lines().find(|line| line.starts_with(&key)) {
            Some(line) if line == row => {}
            line => changed += &format!("was  {}\nis   {row}\n", line.unwrap_or("missing")),
        }
    }
    assert!(changed.is_empty(), "{HEAD}\n{changed}If that is what was meant to happen:\n{AGAIN}");
}

#[test]
fn the_matrix_is_as_reviewed_part_1() {
    compare(0);
}

#[test]
fn the_matrix_is_as_reviewed_part_2() {
    compare(1);
}

#[test]
fn the_matrix_is_as_reviewed_part_3() {
    compare(2);
}

#[test]
fn the_matrix_is_as_reviewed_part_4() {
    compare(3);
}

#[test]
fn the_matrix_is_as_reviewed_part_5() {
    compare(4);
}

#[test]
fn the_matrix_is_as_reviewed_part_6() {
    compare(5);
}

#[test]
fn the_matrix_is_as_reviewed_part_7() {
    compare(6);
}

#[test]
fn the_matrix_is_as_reviewed_part_8() {
    compare(7);
}

#[test]
fn the_snapshot_has_a_row_for_each_cell_and_no_other() {
    let mut lines = SNAPSHOT.lines();
    assert_eq!(lines.next(), Some(HEAD));
    assert_eq!(lines.count(), review(&Cell::controllers()).count(), "{AGAIN}");
}
