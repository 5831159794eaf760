//! The whole public API is written down, in `public-api.txt`: who changes it sees it there, and so does who reviews the change.
//!
//! It is read from the sources, those of the crates whose items the library hands on included, and not from what a compiler
//! writes, which differs between compilers. Of what a macro makes the macro's call is listed.

mod listing;
mod sources;

use std::path::Path;

use sources::Sources;

#[test]
fn the_public_api_is_the_one_that_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("public-api.txt");
    let made = listing::of(&Sources::read(folder.parent().expect("the folder of all crates")), "tsonami");
    if std::env::var("TSONAMI_API").is_ok_and(|value| value == "overwrite") {
        std::fs::write(&path, &made).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let gone = kept.lines().find(|line| !made.lines().any(|other| other == *line));
    let new = made.lines().find(|line| !kept.lines().any(|other| other == *line));
    assert!(
        kept == made,
        "the public API is not the one in crates/tsonami/public-api.txt.\n  the first line that is gone: {}\n  \
         the first that is new: {}\nIs that what you want? Then renew it, look at what changed, and commit it:\n    \
         TSONAMI_API=overwrite cargo test -p tsonami --test public_api",
        gone.unwrap_or("none"),
        new.unwrap_or("none"),
    );
}
