//! The interface as C sees it: the header is the one in the repository, and a program written against it works.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_header_is_what_the_code_says() {
    let config = cbindgen::Config::from_file(here("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(here("src/lib.rs"))
        .generate()
        .expect("bindings");
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = String::from_utf8(made).expect("text");
    let path = here("include/tsonami.h");
    if std::env::var("TSONAMI_HEADER").is_ok_and(|value| value == "overwrite") {
        std::fs::write(&path, &made).expect("the header is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, made, "run this test with TSONAMI_HEADER=overwrite and look at what changed");
}

/// The folder the library was built into: the test's own, or the one above.
fn library_folder() -> PathBuf {
    let deps = std::env::current_exe().expect("this test").parent().expect("a folder").to_owned();
    [deps.clone(), deps.parent().expect("a folder").to_owned()]
        .into_iter()
        .find(|folder| folder.join("libtsonami_c.so").exists())
        .expect("libtsonami_c.so is built")
}

/// Compiles the example, with every warning an error.
fn compile(folder: &Path) -> PathBuf {
    let program = folder.join("send");
    let library = library_folder();
    let output = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg(format!("-I{}", here("include").display()))
        .arg(here("examples/send.c"))
        .arg(format!("-L{}", library.display()))
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .args(["-ltsonami_c", "-o"])
        .arg(&program)
        .output()
        .expect("cc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn run(program: &Path, config: &str, peer: &str) -> Output {
    Command::new(program).args([config, peer]).output().expect("the example runs")
}

#[test]
fn a_c_program_gets_its_errors_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile(folder.path());

    let output = run(&program, "devise = 'null'", "10.0.0.1:5001");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("open: ") && said.contains("devise"), "{said}");

    // Nobody answers on the device that swallows everything.
    let config = "device = 'null'\naddress = '10.0.0.2/24'\n[connection]\nconnect_timeout = '400ms'";
    let output = run(&program, config, "10.0.0.1:5001");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("connection: the next hop to the peer answers no ARP"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 bytes acknowledged"));

    let output = run(&program, config, "10.0.0.1");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("connect: '10.0.0.1' is no address and port"), "{said}");
}
